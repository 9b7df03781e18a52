//! TLS towards brokers and servers: whom to trust, and what to do when trust fails.

use std::fmt;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{CertificateError, ClientConfig, RootCertStore};

/// Where systems keep the certificates of public authorities; the first that is there counts.
const BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Larger files are no certificates; the largest bundle of a distribution has a quarter of a megabyte.
const LARGEST: u64 = 8 << 20;

/// Why nobody can be trusted.
#[derive(Debug)]
pub struct TlsError {
    kind: TlsErrorKind,
    message: String,
}

/// What went wrong before the first handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TlsErrorKind {
    /// A file cannot be read, or there is none.
    File,
    /// The file holds no certificate that can be used.
    Certificate,
}

impl TlsError {
    fn new(kind: TlsErrorKind, message: impl Into<String>) -> TlsError {
        TlsError { kind, message: message.into() }
    }

    /// What went wrong.
    pub fn kind(&self) -> TlsErrorKind {
        self.kind
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for TlsError {}

/// The cryptography: ring, which needs no more than a C compiler.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// The authorities in `ca_file` (PEM), or those that the system trusts. Read anew at each call, so that a file that is
/// replaced counts from the next connection on.
///
/// # Errors
///
/// When the file is missing, or holds no certificate.
pub fn roots(ca_file: Option<&Path>) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let path = match ca_file {
        Some(path) => path.to_path_buf(),
        None => system_bundle(&BUNDLES)?,
    };
    let name = path.display();
    let bytes =
        read(&path).map_err(|e| TlsError::new(TlsErrorKind::File, format!("{name}: {e}")))?;
    let roots: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    match roots {
        Ok(roots) if !roots.is_empty() => Ok(roots),
        Ok(_) => Err(TlsError::new(
            TlsErrorKind::Certificate,
            format!("{name}: holds no certificate: it must be PEM (-----BEGIN CERTIFICATE-----)"),
        )),
        Err(e) => {
            Err(TlsError::new(TlsErrorKind::Certificate, format!("{name}: damaged PEM: {e}")))
        }
    }
}

fn system_bundle(candidates: &[&str]) -> Result<PathBuf, TlsError> {
    let found = candidates.iter().map(PathBuf::from).find(|path| path.is_file());
    found.ok_or_else(|| {
        TlsError::new(
            TlsErrorKind::File,
            "this system has no list of trusted authorities: install the package ca-certificates, or name the \
             certificate of the server's authority with ca_file",
        )
    })
}

fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(LARGEST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LARGEST {
        return Err(std::io::Error::other("too large for a file of certificates"));
    }
    Ok(bytes)
}

/// What a client needs that trusts those authorities: TLS 1.2 or 1.3, no certificate of its own.
///
/// # Errors
///
/// Those of [`roots`], and when none of the certificates can be used.
pub fn client(ca_file: Option<&Path>) -> Result<Arc<ClientConfig>, TlsError> {
    let mut store = RootCertStore::empty();
    let (usable, _) = store.add_parsable_certificates(roots(ca_file)?);
    if usable == 0 {
        let name = ca_file.map_or("the system's list".into(), |path| path.display().to_string());
        let message = format!("{name}: no certificate in it can be that of an authority");
        return Err(TlsError::new(TlsErrorKind::Certificate, message));
    }
    let config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|e| TlsError::new(TlsErrorKind::Certificate, e.to_string()))?
        .with_root_certificates(store)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// The TLS error inside of an I/O error, if it is one.
pub fn cause(error: &std::io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

/// A failed handshake in words: what the server did, and what to do.
pub fn explain(error: &rustls::Error, ca_file: Option<&Path>) -> String {
    use CertificateError as C;
    let trusted = match ca_file {
        Some(path) => format!("the authorities in {}", path.display()),
        None => "the authorities that this system trusts".into(),
    };
    let rustls::Error::InvalidCertificate(certificate) = error else {
        return match error {
            rustls::Error::InvalidMessage(_) => {
                "the server does not speak TLS on this port: check the port of the URL".into()
            }
            rustls::Error::AlertReceived(alert) => {
                format!("the server refused the TLS handshake ({alert:?}): its log says why")
            }
            other => format!("TLS failed: {other}"),
        };
    };
    match certificate {
        C::UnknownIssuer | C::BadSignature => format!(
            "the server's certificate was not issued by {trusted}: set ca_file to the certificate of the authority \
             that issued it"
        ),
        C::Expired | C::ExpiredContext { .. } => {
            "the server's certificate has expired, or this machine's clock is ahead: renew the one or set the other"
                .into()
        }
        C::NotValidYet | C::NotValidYetContext { .. } => {
            "the server's certificate is not valid yet: this machine's clock is probably behind".into()
        }
        C::NotValidForName | C::NotValidForNameContext { .. } => format!(
            "the server's certificate is for another name: use the name in it in the URL, or issue it with this one \
             as subjectAltName ({certificate})"
        ),
        other if other.to_string().contains("CaUsedAsEndEntity") => {
            "the server shows the authority's own certificate: issue it one of its own, signed by the authority".into()
        }
        other if other.to_string().contains("UnsupportedCertVersion") => {
            "the server's certificate is of version 1: issue it anew as version 3 with a subjectAltName".into()
        }
        other => format!("the server's certificate is not accepted: {other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_without_certificates_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ca.pem");
        let missing = client(Some(&path)).unwrap_err();
        assert_eq!(missing.kind(), TlsErrorKind::File);
        assert!(missing.to_string().contains("ca.pem: No such file"), "{missing}");
        let text = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        for (content, why) in [
            ("", "holds no certificate"),
            ("hello", "holds no certificate"),
            (&text[..40], "damaged PEM"),
            (text, "can be that of an authority"),
        ] {
            std::fs::write(&path, content).unwrap();
            let error = client(Some(&path)).unwrap_err();
            assert_eq!(error.kind(), TlsErrorKind::Certificate, "{content}");
            assert!(error.to_string().contains(why), "{error}");
        }
        assert!(system_bundle(&["/nowhere"]).unwrap_err().to_string().contains("ca-certificates"));
    }

    #[test]
    fn failures_come_with_a_remedy() {
        let path = Path::new("/etc/oddsight/ca.pem");
        for (error, remedy) in [
            (CertificateError::UnknownIssuer, "ca_file"),
            (CertificateError::Expired, "clock"),
            (CertificateError::NotValidYet, "clock"),
            (CertificateError::NotValidForName, "subjectAltName"),
            (CertificateError::Revoked, "not accepted"),
        ] {
            let text = explain(&error.into(), Some(path));
            assert!(text.contains(remedy), "{text}");
        }
        let unknown = || rustls::Error::from(CertificateError::UnknownIssuer);
        assert!(explain(&unknown(), Some(path)).contains("/etc/oddsight/ca.pem"));
        assert!(explain(&unknown(), None).contains("this system"));
    }
}
