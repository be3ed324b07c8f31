//! TLS to the broker.

use std::sync::Arc;

use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::RabbitConfigError;
use crate::address::Address;

/// The TLS client, where the address asks for TLS. The cryptography is named here: the client
/// library asks for the process's, and panics where none is set.
pub(crate) fn connector(address: &Address) -> Result<Option<TlsConnector>, RabbitConfigError> {
    if !address.tls {
        return Ok(None);
    }
    let mut roots = RootCertStore::empty();
    match &address.authorities {
        None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        Some(file) => {
            let certificates = CertificateDer::pem_file_iter(file)
                .and_then(Iterator::collect::<Result<Vec<_>, _>>)
                .map_err(|_| RabbitConfigError::Authorities)?;
            let (trusted, _) = roots.add_parsable_certificates(certificates);
            if trusted == 0 {
                return Err(RabbitConfigError::Authorities);
            }
        }
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|_| RabbitConfigError::Authorities)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Some(TlsConnector::from(Arc::new(config))))
}
