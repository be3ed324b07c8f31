//! Where Redis is.

use std::fmt;

use redis::cluster::{ClusterClient, ClusterClientBuilder};
use redis::io::tcp::TcpSettings;
use redis::{Client, ConnectionInfo, IntoConnectionInfo, ProtocolVersion};

use url::Url;

use crate::settings::RedisConfigError;

/// Where Redis is, and how to log in there. Shown, it is only the hosts and ports, or the path.
#[derive(Clone)]
pub(crate) struct Address {
    pub(crate) nodes: Nodes,
    shown: Box<str>,
}

#[derive(Clone)]
pub(crate) enum Nodes {
    One(Box<ConnectionInfo>),
    Cluster(Vec<ConnectionInfo>),
}

impl Address {
    pub(crate) fn parse(url: &str) -> Result<Self, RedisConfigError> {
        let (scheme, rest) = url.split_once("://").ok_or(RedisConfigError::Url)?;
        let nodes = match scheme.strip_suffix("+cluster") {
            Some(scheme) => Nodes::Cluster(cluster(scheme, rest)?),
            None => Nodes::One(Box::new(node(url)?)),
        };
        let shown = match &nodes {
            Nodes::One(node) => node.addr().to_string(),
            Nodes::Cluster(nodes) => {
                let nodes: Vec<_> = nodes.iter().map(|node| node.addr().to_string()).collect();
                nodes.join(",")
            }
        };
        Ok(Self { nodes, shown: shown.into() })
    }

    pub(crate) fn is_cluster(&self) -> bool {
        matches!(self.nodes, Nodes::Cluster(_))
    }

    pub(crate) fn wants_tls(&self) -> bool {
        let tls =
            |node: &ConnectionInfo| matches!(node.addr(), redis::ConnectionAddr::TcpTls { .. });
        match &self.nodes {
            Nodes::One(node) => tls(node),
            Nodes::Cluster(nodes) => nodes.iter().any(tls),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

/// The nodes of `[user[:password]@]host[:port],host[:port],…[/…]`, each with the same login.
fn cluster(scheme: &str, rest: &str) -> Result<Vec<ConnectionInfo>, RedisConfigError> {
    if !matches!(scheme, "redis" | "rediss" | "valkey" | "valkeys") {
        return Err(RedisConfigError::Url);
    }
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, tail) = rest.split_at(end);
    let (login, hosts) = match authority.rsplit_once('@') {
        Some((login, hosts)) => (format!("{login}@"), hosts),
        None => (String::new(), authority),
    };
    let nodes: Vec<_> = hosts
        .split(',')
        .map(|host| node(&format!("{scheme}://{login}{host}{tail}")))
        .collect::<Result<_, _>>()?;
    if nodes.iter().any(|node| node.redis_settings().db() != 0) {
        return Err(RedisConfigError::ClusterDatabase);
    }
    // What the client would refuse only when it connects.
    cluster_client(nodes.iter().cloned()).build().map_err(|_| RedisConfigError::Url)?;
    Ok(nodes)
}

fn node(url: &str) -> Result<ConnectionInfo, RedisConfigError> {
    check(&redis::parse_redis_url(url).ok_or(RedisConfigError::Url)?)?;
    // What the client says of a URL it can't read may quote it.
    let info = url.into_connection_info().map_err(|_| RedisConfigError::Url)?;
    if info.redis_settings().db() < 0 {
        return Err(RedisConfigError::Url);
    }
    let login = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
    Ok(info.set_redis_settings(login).set_tcp_settings(TcpSettings::default().set_nodelay(true)))
}

/// Refuses what the client would leave unread: another database or another server would be used
/// than was meant.
fn check(url: &Url) -> Result<(), RedisConfigError> {
    let path = url.scheme().ends_with("unix");
    let mut seen = Vec::new();
    for (name, _) in url.query_pairs() {
        if !path || !matches!(&*name, "db" | "user" | "pass") || seen.contains(&name) {
            return Err(RedisConfigError::Parameters);
        }
        seen.push(name);
    }
    let nothing = url.query().is_none_or(|query| path || query.is_empty());
    let fragment = match url.fragment() {
        None => true,
        Some("insecure") => matches!(url.scheme(), "rediss" | "valkeys"),
        Some(_) => false,
    };
    if nothing && fragment { Ok(()) } else { Err(RedisConfigError::Parameters) }
}

/// The client of one node.
pub(crate) fn client(node: ConnectionInfo) -> redis::RedisResult<Client> {
    Client::open(node)
}

/// The beginnings of the client of a cluster.
pub(crate) fn cluster_client(
    nodes: impl IntoIterator<Item = ConnectionInfo>,
) -> ClusterClientBuilder {
    ClusterClient::builder(nodes).tcp_settings(TcpSettings::default().set_nodelay(true))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(url: &str) -> String {
        Address::parse(url).map_or_else(|error| format!("{error:?}"), |a| a.to_string())
    }

    #[test]
    fn reads_every_form_and_shows_no_login() {
        assert_eq!(shown("redis://127.0.0.1"), "127.0.0.1:6379");
        assert_eq!(shown("redis://zoe:hidden@cache.example:7000/2"), "cache.example:7000");
        assert_eq!(shown("rediss://:hidden@cache.example"), "cache.example:6379");
        assert_eq!(shown("unix:///run/redis.sock?user=zoe&pass=hidden"), "/run/redis.sock");
        assert_eq!(shown("redis+cluster://zoe:hidden@a:1,b:2,c"), "a:1,b:2,c:6379");
        assert_eq!(shown("rediss+cluster://a:1/"), "a:1");
        assert!(Address::parse("rediss+cluster://a:1").unwrap().wants_tls());
        assert!(!Address::parse("redis+cluster://a:1").unwrap().wants_tls());
    }

    #[test]
    fn every_node_of_a_cluster_gets_the_login() {
        let address = Address::parse("redis+cluster://zoe:p%40ss@a:1,b:2").unwrap();
        let Nodes::Cluster(nodes) = address.nodes else { panic!("a cluster was asked for") };
        for node in nodes {
            assert_eq!(node.redis_settings().username(), Some("zoe"));
            assert_eq!(node.redis_settings().password(), Some("p@ss"));
            assert_eq!(node.redis_settings().protocol(), ProtocolVersion::RESP3);
        }
    }

    #[test]
    fn nothing_in_a_url_is_left_unread() {
        for url in [
            "redis://zoe:hidden@host?db=3",
            "redis://host/?db=3",
            "redis://host:1/2?db=3",
            "redis://host/?protocol=resp3",
            "redis://host?password=hidden",
            "valkey://host?timeout=5",
            "redis://host#insecure",
            "rediss://host#what",
            "unix:///run/redis.sock?db=1&db=2",
            "unix:///run/redis.sock?password=hidden",
            "unix:///run/redis.sock#1",
            "redis+cluster://a:1,b:2?read_from_replicas=true",
        ] {
            let error = Address::parse(url).err().unwrap();
            assert_eq!(error, RedisConfigError::Parameters, "{url}");
            assert!(error.to_string().contains("redis://host:6379/3"), "{error}");
            assert!(!error.to_string().contains("hidden"));
        }
        let error = Address::parse("redis+cluster://a:1,b:2/3").err().unwrap();
        assert_eq!(error, RedisConfigError::ClusterDatabase);
        let database = |url: &str| match Address::parse(url).unwrap().nodes {
            Nodes::One(node) => node.redis_settings().db(),
            Nodes::Cluster(_) => panic!("{url} is no cluster"),
        };
        for url in ["redis://host/3", "redis://host/3/", "unix:///run/redis.sock?db=3"] {
            assert_eq!(database(url), 3, "{url}");
        }
        assert!(Address::parse("rediss://host#insecure").is_ok());
    }

    #[test]
    fn what_can_not_be_read_is_refused_without_showing_it() {
        for url in [
            "",
            "localhost:6379",
            "http://zoe:hidden@host",
            "redis://",
            "redis://zoe:hidden@host:port",
            "redis://zoe:hidden@host/first",
            "redis://zoe:hidden@host/-1",
            "redis://zoe:hidden@host/1/2",
            "redis+cluster://",
            "redis+cluster://a:1,,b:2",
            "unix+cluster:///run/redis.sock",
        ] {
            let error = Address::parse(url).err().unwrap();
            assert_eq!(error, RedisConfigError::Url, "{url}");
            assert!(error.to_string().contains("REDIS_URL"));
            assert!(!error.to_string().contains("hidden"));
        }
    }
}
