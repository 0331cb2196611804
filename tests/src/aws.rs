//! An instance of Amazon Web Services on this machine: its metadata service, and documents that OpenSSL
//! signed in AWS's form.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::openssl::openssl;

/// The account of everything in moto.
pub const ACCOUNT: &str = "123456789012";
/// The region of every scenario.
pub const REGION: &str = "us-east-1";

const TOKEN: &str = "a-token-of-this-metadata-service";

/// A test authority that signs identity documents.
#[derive(Debug)]
pub struct DocumentAuthority {
    /// Its certificates as `region_certificates_path` takes them.
    pub certificates: PathBuf,
    directory: PathBuf,
}

impl DocumentAuthority {
    /// Makes one for [`REGION`].
    ///
    /// # Panics
    /// When OpenSSL does not do it.
    pub async fn make(directory: &Path) -> Self {
        let directory = directory.join("document-authority");
        std::fs::create_dir_all(&directory).expect("a directory");
        let mut list = format!("region {REGION}\n");
        for bits in ["1024", "2048"] {
            let path = |end: &str| directory.join(format!("{bits}.{end}"));
            let (key, certificate) = (path("key"), path("pem"));
            let kind = format!("rsa:{bits}");
            let line = [
                "req",
                "-x509",
                "-nodes",
                "-days",
                "2",
                "-newkey",
                &kind,
                "-subj",
                "/C=US/ST=Washington State/L=Seattle/O=Amazon Web Services LLC",
                "-keyout",
                text(&key),
                "-out",
                text(&certificate),
            ];
            openssl(&line).await.ok();
            list.push_str(&std::fs::read_to_string(certificate).expect("a certificate"));
        }
        let certificates = directory.join("regions.txt");
        std::fs::write(&certificates, list).expect("a list");
        Self {
            certificates,
            directory,
        }
    }

    /// The three texts of an instance: document, signature and PKCS #7.
    ///
    /// # Panics
    /// When OpenSSL does not sign.
    pub async fn sign(&self, instance: &str) -> Documents {
        let path = |name: &str| self.directory.join(name);
        let document = format!(
            "{{\n  \"accountId\" : \"{ACCOUNT}\",\n  \"availabilityZone\" : \"{REGION}a\",\n  \
             \"imageId\" : \"ami-12c6146b\",\n  \"instanceId\" : \"{instance}\",\n  \
             \"kernelId\" : null,\n  \"region\" : \"{REGION}\",\n  \"version\" : \"2017-09-30\"\n}}"
        );
        let (input, signed) = (path("document"), path("signed"));
        std::fs::write(&input, &document).expect("a document");
        let (key, certificate) = (path("2048.key"), path("2048.pem"));
        let cms = [
            "cms",
            "-sign",
            "-binary",
            "-nodetach",
            "-stream",
            "-nocerts",
            "-md",
            "sha256",
        ];
        let files = [
            "-in",
            text(&input),
            "-signer",
            text(&certificate),
            "-inkey",
            text(&key),
            "-outform",
            "DER",
            "-out",
            text(&signed),
        ];
        openssl(&[&cms[..], &files].concat()).await.ok();
        let rsa2048 = base64(&signed).await;
        let key = path("1024.key");
        let digest = [
            "dgst",
            "-sha256",
            "-sign",
            text(&key),
            "-out",
            text(&signed),
            text(&input),
        ];
        openssl(&digest).await.ok();
        let signature = base64(&signed).await;
        Documents {
            document,
            signature,
            rsa2048,
        }
    }
}

async fn base64(file: &Path) -> String {
    let encoded = openssl(&["base64", "-in", text(file)]).await.ok();
    encoded.trim_end().to_owned()
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path of this test")
}

/// What the metadata service of an instance shows.
#[derive(Clone, Debug)]
pub struct Documents {
    /// JSON.
    pub document: String,
    /// Base64.
    pub signature: String,
    /// Base64.
    pub rsa2048: String,
}

/// Serves an instance's metadata, in version 2 only, until the test ends; gives the URL.
///
/// # Panics
/// When there is no port.
pub async fn metadata(documents: Documents) -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let documents = Arc::new(documents);
    #[allow(clippy::disallowed_methods, reason = "it ends with the test's runtime")]
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // A client that leaves early is its own affair.
            let _ = answer(stream, &documents).await;
        }
    });
    format!("http://{address}")
}

async fn answer(mut stream: TcpStream, documents: &Documents) -> std::io::Result<()> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(stream.read_u8().await?);
    }
    let request = String::from_utf8_lossy(&request).to_lowercase();
    let with_token = request.contains(&format!("x-aws-ec2-metadata-token: {TOKEN}\r\n"));
    let prefix = "get /latest/dynamic/instance-identity/";
    let asked = request
        .strip_prefix(prefix)
        .and_then(|rest| rest.split_once(' '));
    let (status, body) = match asked.map(|(name, _)| name) {
        None if request.starts_with("put /latest/api/token ") => ("200 OK", TOKEN),
        Some(_) if !with_token => ("401 Unauthorized", ""),
        Some("document") => ("200 OK", documents.document.as_str()),
        Some("signature") => ("200 OK", documents.signature.as_str()),
        Some("rsa2048") => ("200 OK", documents.rsa2048.as_str()),
        _ => ("404 Not Found", ""),
    };
    let answer = format!(
        "HTTP/1.1 {status}\r\nX-Aws-Ec2-Metadata-Token-Ttl-Seconds: 21600\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(answer.as_bytes()).await
}
