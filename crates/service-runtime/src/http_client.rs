//! The HTTP client of every process.

use std::sync::Once;

use reqwest::{Certificate, ClientBuilder};
use webpki_root_certs::TLS_SERVER_ROOT_CERTS;

/// Chooses the one TLS provider of the process.
pub fn install_tls() {
    static TLS: Once = Once::new();
    TLS.call_once(|| {
        // An error means that one is installed already; either works.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
}

/// A client builder without timeouts, which the caller adds. It trusts the system's certificates, or those of
/// `SSL_CERT_FILE`, and Mozilla's, which are compiled in: a small image has none, and without any certificate no client can
/// be built, not even one that is used without TLS.
pub fn http_client() -> ClientBuilder {
    install_tls();
    let compiled_in = TLS_SERVER_ROOT_CERTS.iter().filter_map(|root| Certificate::from_der(root).ok());
    ClientBuilder::new().tls_certs_merge(compiled_in)
}
