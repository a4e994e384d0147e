//! A wire that is encrypted on the client's side, with certificates made by the test: what a MongoDB with
//! `net.tls.mode=requireTLS` is to its clients. The stand-ins for MongoDB do not speak TLS.

use std::{path::Path, sync::Arc};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        RootCertStore, ServerConfig,
        pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
        server::WebPkiClientVerifier,
    },
};

/// Who signs certificates.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: rcgen::Certificate,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let certificate = params.self_signed(&key).expect("signed");
        Self { issuer: Issuer::new(params, key), certificate }
    }

    /// Its own certificate as a file for `tlsCAFile`.
    pub(crate) fn write(&self, path: &Path) {
        std::fs::write(path, self.certificate.pem()).expect("written");
    }

    /// A certificate for a host, and its key.
    fn certificate_for(&self, host: &str) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec![host.to_owned()]).expect("a name");
        (params.signed_by(&key, &self.issuer).expect("signed"), key)
    }

    /// A certificate and its key as one file for `tlsCertificateKeyFile`.
    pub(crate) fn write_client(&self, path: &Path) {
        let (certificate, key) = self.certificate_for("client");
        std::fs::write(path, format!("{}{}", certificate.pem(), key.serialize_pem())).expect("written");
    }
}

/// The proxy; ends with the value.
pub(crate) struct TlsWire {
    pub(crate) port: u16,
    accepting: JoinHandle<()>,
}

impl TlsWire {
    /// In front of `host:port`, with a certificate for `localhost`; asks for a client's certificate where `clients` names
    /// who signs those.
    pub(crate) async fn before(server: String, authority: &Authority, clients: Option<&Authority>) -> Self {
        let (certificate, key) = authority.certificate_for("localhost");
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let builder = ServerConfig::builder();
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(clients) => {
                let mut roots = RootCertStore::empty();
                roots.add(clients.certificate.der().clone()).expect("an authority");
                let verifier = WebPkiClientVerifier::builder(Arc::new(roots)).build().expect("a verifier");
                builder.with_client_cert_verifier(verifier)
            }
        };
        let config = builder.with_single_cert(vec![certificate.der().clone()], key).expect("fits");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let accepting = tokio::spawn(accept(listener, TlsAcceptor::from(Arc::new(config)), server));
        Self { port, accepting }
    }
}

impl Drop for TlsWire {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, acceptor: TlsAcceptor, server: String) {
    while let Ok((client, _)) = listener.accept().await {
        let (acceptor, server) = (acceptor.clone(), server.clone());
        tokio::spawn(async move {
            // A client that is not content hangs up; what it says of that is what is tested.
            let Ok(mut client) = acceptor.accept(client).await else { return };
            let Ok(mut server) = TcpStream::connect(&server).await else { return };
            let _ = copy_bidirectional(&mut client, &mut server).await;
        });
    }
}
