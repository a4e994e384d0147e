//! How every process asks others over HTTP.

use std::sync::Once;

use reqwest::{Certificate, ClientBuilder};
use webpki_root_certs::TLS_SERVER_ROOT_CERTS;

/// Chooses the one TLS provider of the process.
pub fn install_tls() {
    static TLS: Once = Once::new();
    TLS.call_once(|| {
        // An error means that one was installed before; any will do.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
}

/// A client to be given its bounds. It trusts the system's certificates, or those of `SSL_CERT_FILE`, and Mozilla's, which
/// the program brings along: a small image has none, and without any no client could be made, not even one that asks
/// without TLS.
pub fn http_client() -> ClientBuilder {
    install_tls();
    let brought = TLS_SERVER_ROOT_CERTS.iter().filter_map(|root| Certificate::from_der(root).ok());
    ClientBuilder::new().tls_certs_merge(brought)
}
