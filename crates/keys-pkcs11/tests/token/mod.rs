//! A token of SoftHSM for one test.
//!
//! SoftHSM learns from the environment where its tokens are, and reads that once in a process. So the
//! test starts itself again, with a directory of its own; what runs there is the test proper.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, AttributeType, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::Slot;
use cryptoki::types::AuthPin;
use signet_crypto::SecretString;
use signet_keys_pkcs11::{Pin, Pkcs11Error, Pkcs11Keys, Settings, TokenName};

pub(crate) const PIN: &str = "12345678";
const LABEL: &str = "signet";
const CONFIG: &str = "SOFTHSM2_CONF";
const INSIDE: &str = "SIGNET_TEST_TOKEN";

/// Where distributions put the module.
const MODULES: [&str; 4] = [
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib64/softhsm/libsofthsm2.so",
    "/usr/local/lib/softhsm/libsofthsm2.so",
];

/// The token of this process.
pub(crate) struct TestToken {
    directory: PathBuf,
    module: PathBuf,
    context: Pkcs11,
}

/// Runs the test `name` on a token of its own, or says that there is no SoftHSM.
pub(crate) fn on_a_token<F>(name: &str, test: impl FnOnce(TestToken) -> F)
where
    F: Future<Output = ()>,
{
    let Some(module) = module() else {
        skipped(
            name,
            "there is no SoftHSM (libsofthsm2.so and softhsm2-util)",
        );
        return;
    };
    match std::env::var_os(INSIDE) {
        Some(directory) => inside(TestToken::new(directory.into(), module), test),
        None => in_a_process(name),
    }
}

fn in_a_process(name: &str) {
    let directory = tempfile::tempdir().unwrap();
    let tokens = directory.path().join("tokens");
    std::fs::create_dir(&tokens).unwrap();
    let config = directory.path().join("softhsm2.conf");
    let text = format!(
        "directories.tokendir = {}\nlog.level = ERROR\n",
        tokens.display()
    );
    std::fs::write(&config, text).unwrap();
    let mut test = Command::new(std::env::current_exe().unwrap());
    test.args([name, "--exact", "--nocapture", "--test-threads=1"]);
    let status = test
        .env(CONFIG, config)
        .env(INSIDE, directory.path())
        .status();
    assert!(status.unwrap().success(), "{name} failed in its process");
}

fn inside<F: Future<Output = ()>>(token: TestToken, test: impl FnOnce(TestToken) -> F) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    runtime.unwrap().block_on(test(token));
}

fn module() -> Option<PathBuf> {
    let tool = Command::new("softhsm2-util")
        .arg("--version")
        .output()
        .is_ok();
    let module = MODULES
        .into_iter()
        .map(PathBuf::from)
        .find(|path| path.exists());
    module.filter(|_| tool)
}

/// As the other scenarios say it, past the test runner's capture.
fn skipped(name: &str, reason: &str) {
    use std::io::Write;
    let line = format!("skipped: {name}: {reason}\n");
    // Nothing depends on the line's arrival.
    let _ = std::io::stderr().write_all(line.as_bytes());
}

/// A PIN as the configuration gives it.
pub(crate) fn given(pin: &str) -> Pin {
    Pin::Given(Arc::new(SecretString::new(pin.to_owned())))
}

/// Why these settings do not do.
pub(crate) async fn refused(settings: Settings) -> Pkcs11Error {
    Pkcs11Keys::open(settings).await.err().unwrap()
}

fn tool(arguments: &[&str]) {
    let run = Command::new("softhsm2-util")
        .args(arguments)
        .output()
        .unwrap();
    assert!(run.status.success(), "{run:?}");
}

impl TestToken {
    fn new(directory: PathBuf, module: PathBuf) -> Self {
        Self::init(LABEL, PIN);
        let context = Pkcs11::new(&module).unwrap();
        let locking = CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK);
        context.initialize(locking).unwrap();
        Self {
            directory,
            module,
            context,
        }
    }

    /// Makes a token.
    pub(crate) fn init(label: &str, pin: &str) {
        let line = [
            "--init-token",
            "--free",
            "--label",
            label,
            "--so-pin",
            "87654321",
        ];
        tool(&[&line[..], &["--pin", pin]].concat());
    }

    pub(crate) fn settings(&self, identifier: &str) -> Settings {
        Settings {
            module_path: self.module.clone(),
            token: TokenName::Label(LABEL.to_owned()),
            pin: given(PIN),
            identifier: identifier.parse().unwrap(),
        }
    }

    pub(crate) async fn keys(&self, identifier: &str) -> Pkcs11Keys {
        Pkcs11Keys::open(self.settings(identifier)).await.unwrap()
    }

    fn slot(&self) -> Slot {
        self.context.get_slots_with_initialized_token().unwrap()[0]
    }

    /// A session that is logged in.
    pub(crate) fn session(&self) -> Session {
        let session = self.context.open_rw_session(self.slot()).unwrap();
        // Usually the key manager has done it.
        let _ = session.login(UserType::User, Some(&AuthPin::from(PIN)));
        session
    }

    /// Makes a pair as a server that crashed right after would have left it.
    pub(crate) fn make_pair(&self, label: &str, counter: u32) -> (ObjectHandle, ObjectHandle) {
        let id = [&counter.to_be_bytes()[..], &[0; 12]].concat();
        self.make_pair_with_id(label, &id)
    }

    /// Public and private half of a new pair on P-256.
    pub(crate) fn make_pair_with_id(&self, label: &str, id: &[u8]) -> (ObjectHandle, ObjectHandle) {
        let named = [
            Attribute::Token(true),
            Attribute::Label(label.as_bytes().to_vec()),
            Attribute::Id(id.to_vec()),
        ];
        let p256 = vec![0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
        let public = [&named[..], &[Attribute::EcParams(p256)]].concat();
        let private = [
            &named[..],
            &[Attribute::Private(true), Attribute::Sign(true)],
        ]
        .concat();
        let made = self
            .session()
            .generate_key_pair(&Mechanism::EccKeyPairGen, &public, &private);
        made.unwrap()
    }

    /// The point of a public key, without what it is wrapped in.
    pub(crate) fn point_of(&self, public: ObjectHandle) -> Vec<u8> {
        let read = self
            .session()
            .get_attributes(public, &[AttributeType::EcPoint]);
        match &read.unwrap()[..] {
            [Attribute::EcPoint(point)] => point[2..].to_vec(),
            other => panic!("{other:?}"),
        }
    }

    /// Closes every session of this process, as a token does that restarts.
    pub(crate) fn break_connections(&self) {
        self.context.clone().finalize().unwrap();
        let locking = CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK);
        self.context.initialize(locking).unwrap();
    }

    pub(crate) fn change_pin(&self, new: &str) {
        let session = self.session();
        session
            .set_pin(&AuthPin::from(PIN), &AuthPin::from(new))
            .unwrap();
    }

    /// Takes the token out; the answer puts it back.
    pub(crate) fn take_away(&self) -> impl FnOnce() + use<> {
        let (here, away) = (self.tokens(), self.directory.join("away"));
        std::fs::rename(&here, &away).unwrap();
        move || std::fs::rename(&away, &here).unwrap()
    }

    fn tokens(&self) -> PathBuf {
        let tokens: &Path = &self.directory.join("tokens");
        tokens.to_owned()
    }
}
