//! Where requests come from, behind proxies or not.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use daybook_application::Origin;
use ipnet::IpNet;
use poem::Request;
use poem::http::HeaderMap;
use thiserror::Error;

/// The proxies whose word is taken for whom they speak for.
#[derive(Clone, Debug, Default)]
pub struct Proxies(Vec<IpNet>);

/// The text names no networks.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "{0} is no address or network: give some, separated by commas, as in 10.0.0.7 or 10.0.0.0/8"
)]
pub struct InvalidProxies(String);

const FORWARDED_FOR: &str = "x-forwarded-for";

impl FromStr for Proxies {
    type Err = InvalidProxies;

    fn from_str(text: &str) -> Result<Self, InvalidProxies> {
        let given = text.split(',').map(str::trim).filter(|one| !one.is_empty());
        let read = |one: &str| {
            let net = one.parse().or_else(|_| one.parse::<IpAddr>().map(IpNet::from));
            net.map_err(|_| InvalidProxies(one.to_owned()))
        };
        given.map(read).collect::<Result<_, _>>().map(Self)
    }
}

impl Proxies {
    /// Whether this is one of them.
    pub(crate) fn has(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|net| net.contains(&address))
    }

    /// Who asks: who is connected, or, where that is a proxy, the last in `X-Forwarded-For` who is none.
    /// What stands before that anyone may have written.
    pub(crate) fn origin(&self, request: &Request) -> Origin {
        let peer = request.remote_addr().as_socket_addr().map(SocketAddr::ip);
        peer.map_or(Origin::UNKNOWN, |peer| self.origin_behind(peer, request.headers()))
    }

    fn origin_behind(&self, peer: IpAddr, headers: &HeaderMap) -> Origin {
        if !self.has(peer) {
            return Origin::of(peer);
        }
        let lines = headers.get_all(FORWARDED_FOR).iter();
        let lines: Vec<&str> = lines.filter_map(|line| line.to_str().ok()).collect();
        let hops = lines.iter().rev().flat_map(|line| line.rsplit(','));
        let mut last = peer;
        for hop in hops {
            let Some(address) = address(hop.trim()) else { break };
            last = address;
            if !self.has(address) {
                break;
            }
        }
        Origin::of(last)
    }
}

/// An address, with a port or without.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    bare.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|socket| socket.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(proxies: &str, peer: &str, forwarded: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for line in forwarded {
            headers.append(FORWARDED_FOR, line.parse().unwrap());
        }
        let proxies: Proxies = proxies.parse().unwrap();
        proxies.origin_behind(peer.parse().unwrap(), &headers).to_string()
    }

    #[test]
    fn only_a_proxy_is_believed() {
        assert_eq!(origin("", "192.0.2.1", &["198.51.100.1"]), "192.0.2.1");
        assert_eq!(origin("10.0.0.0/8", "192.0.2.1", &["198.51.100.1"]), "192.0.2.1");
        assert_eq!(origin("10.0.0.0/8", "10.0.0.7", &["198.51.100.1"]), "198.51.100.1");
        assert_eq!(origin("10.0.0.7", "10.0.0.7", &[]), "10.0.0.7");
    }

    #[test]
    fn what_a_client_wrote_itself_is_not() {
        let forwarded = ["203.0.113.9, 198.51.100.1"];
        assert_eq!(origin("10.0.0.0/8", "10.0.0.7", &forwarded), "198.51.100.1");
        let through_two = ["203.0.113.9, 198.51.100.1, 10.0.0.8"];
        assert_eq!(origin("10.0.0.0/8", "10.0.0.7", &through_two), "198.51.100.1");
        let two_lines = ["203.0.113.9", "198.51.100.1:5678"];
        assert_eq!(origin("10.0.0.0/8", "10.0.0.7", &two_lines), "198.51.100.1");
        assert_eq!(origin("10.0.0.0/8", "10.0.0.7", &["198.51.100.1, x"]), "10.0.0.7");
        assert_eq!(origin("::1", "::1", &["[2001:db8::1]"]), "2001:db8::1");
    }

    #[test]
    fn networks_are_read_or_refused() {
        assert!("10.0.0.0/8, ::1".parse::<Proxies>().is_ok());
        assert!("10.0.0.0/33".parse::<Proxies>().is_err());
        assert!("loadbalancer".parse::<Proxies>().is_err());
    }
}
