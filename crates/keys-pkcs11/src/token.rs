//! How the token is reached: the module, the login, and sessions for those who work.
//!
//! The module blocks, so its calls run on the blocking pool, each with a session of its own and at
//! most [`MAX_SESSIONS`] at once. A login holds for the whole process as long as a session is open:
//! one is kept open for that.
//!
//! A connection that broke is dropped and made anew. If that does not help, the module is started
//! again, provided that nobody is in a call of it: some do not see a token that was taken out and
//! put back.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::session::{Session, SessionState, UserType};
use cryptoki::slot::{Slot, TokenInfo};
use cryptoki::types::AuthPin;
use signet_crypto::SecretString;
use tokio::sync::Semaphore;

use crate::Pkcs11Error;

/// More would not make a token faster, and many allow few; it also bounds the threads that a token
/// which hangs can hold.
const MAX_SESSIONS: usize = 16;

/// Which token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenName {
    /// The one with this label.
    Label(String),
    /// The one in this slot.
    Slot(u64),
}

impl fmt::Display for TokenName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Label(label) => write!(f, "the label {label:?}"),
            Self::Slot(slot) => write!(f, "the slot id {slot}"),
        }
    }
}

/// What a session is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Finding keys and signing.
    Read,
    /// Making and removing keys.
    Write,
}

/// Handles of objects hold within one of these.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Connected(u64);

pub(crate) struct Token {
    module: Pkcs11,
    name: TokenName,
    pin: Arc<SecretString>,
    state: Mutex<State>,
    /// Held by whoever is in a call of the module; alone by who starts it again.
    in_call: RwLock<()>,
    free: Arc<Semaphore>,
}

/// The token as those see it who work on it.
pub(crate) struct Reached<'a> {
    pub(crate) session: &'a Session,
    pub(crate) connected: Connected,
    token: &'a Token,
}

impl Reached<'_> {
    /// Before anybody says that a key is not there: a token that was taken out may answer that it has
    /// none.
    pub(crate) fn is_there(&self) -> Result<(), Pkcs11Error> {
        self.token.find().map(|_| ())
    }
}

#[derive(Default)]
struct State {
    connection: Option<Connection>,
    /// How many there were before.
    connected: Connected,
    pin_refused: bool,
}

struct Connection {
    slot: Slot,
    /// Keeps the login alive, and is used for nothing else.
    _keeper: Session,
    idle: Vec<Session>,
}

impl Token {
    /// Loads the module. The token is connected to at the first use.
    pub(crate) fn new(
        module_path: &Path,
        name: TokenName,
        pin: Arc<SecretString>,
    ) -> Result<Self, Pkcs11Error> {
        Ok(Self {
            module: load(module_path)?,
            name,
            pin,
            state: Mutex::default(),
            in_call: RwLock::default(),
            free: Arc::new(Semaphore::new(MAX_SESSIONS)),
        })
    }

    /// Runs `work` with a session of its own, waiting for it `limit` at most. It runs again, on a new
    /// connection, if the one before turns out to be gone.
    pub(crate) async fn run<T, W>(
        self: &Arc<Self>,
        limit: Duration,
        access: Access,
        work: W,
    ) -> Result<T, Pkcs11Error>
    where
        T: Send + 'static,
        W: Fn(&Reached<'_>) -> Result<T, Pkcs11Error> + Send + 'static,
    {
        let token = Arc::clone(self);
        let worked = async move {
            let free = Arc::clone(&token.free).acquire_owned().await;
            let taken = free.expect("the semaphore is never closed");
            // The permit goes along: a call that hangs keeps its place even when nobody waits for it.
            let working = tokio::task::spawn_blocking(move || {
                let _taken = taken;
                token.work(access, &work)
            });
            working.await.unwrap_or(Err(Pkcs11Error::Stopped))
        };
        let worked = tokio::time::timeout(limit, worked).await;
        worked.unwrap_or(Err(Pkcs11Error::Slow))
    }

    fn work<T>(
        &self,
        access: Access,
        work: &impl Fn(&Reached<'_>) -> Result<T, Pkcs11Error>,
    ) -> Result<T, Pkcs11Error> {
        let mut done = self.work_once(access, work);
        for mend in [Self::disconnect, Self::start_again] {
            match done {
                (connected, Err(error)) if error.is_lost_connection() => mend(self, connected),
                (_, done) => return done,
            }
            done = self.work_once(access, work);
        }
        done.1
    }

    fn work_once<T>(
        &self,
        access: Access,
        work: &impl Fn(&Reached<'_>) -> Result<T, Pkcs11Error>,
    ) -> (Connected, Result<T, Pkcs11Error>) {
        let _in_call = self.in_call.read().unwrap_or_else(PoisonError::into_inner);
        let (connected, session) = self.session(access);
        let done = session.and_then(|session| {
            let done = work(&Reached {
                session: &session,
                connected,
                token: self,
            })?;
            // After a failure it is closed instead: something may still be going on in it.
            if access == Access::Read {
                self.give_back(connected, session);
            }
            Ok(done)
        });
        (connected, done)
    }

    fn session(&self, access: Access) -> (Connected, Result<Session, Pkcs11Error>) {
        let mut state = self.state();
        let session = self.session_of(&mut state, access);
        (state.connected, session)
    }

    fn session_of(&self, state: &mut State, access: Access) -> Result<Session, Pkcs11Error> {
        if state.connection.is_none() {
            let connection = self.connect(state)?;
            state.connection = Some(connection);
            state.connected = Connected(state.connected.0 + 1);
        }
        let connection = state.connection.as_mut().expect("connected above");
        let opened = match access {
            Access::Write => self.module.open_rw_session(connection.slot),
            Access::Read => match connection.idle.pop() {
                Some(session) => Ok(session),
                None => self.module.open_ro_session(connection.slot),
            },
        };
        opened.map_err(Pkcs11Error::call("open a session with the token"))
    }

    fn give_back(&self, connected: Connected, session: Session) {
        let mut state = self.state();
        if state.connected == connected
            && let Some(connection) = &mut state.connection
        {
            connection.idle.push(session);
        }
    }

    /// Forgets a connection, unless it was replaced already.
    fn disconnect(&self, connected: Connected) {
        let mut state = self.state();
        if state.connected == connected && state.connection.take().is_some() {
            tracing::warn!(token = %self.name, "the connection to the token was lost");
        }
    }

    /// Starts the module again, unless somebody is in a call of it, perhaps for ever, or has connected
    /// meanwhile.
    fn start_again(&self, connected: Connected) {
        self.disconnect(connected);
        let Ok(_alone) = self.in_call.try_write() else {
            return;
        };
        if self.state().connection.is_some() {
            return;
        }
        // What fails here shows at the next call.
        let _ = self.module.clone().finalize();
        let _ = self.module.initialize(locking());
    }

    fn connect(&self, state: &mut State) -> Result<Connection, Pkcs11Error> {
        if state.pin_refused {
            return Err(Pkcs11Error::PinRefusedBefore);
        }
        let (slot, info) = self.find()?;
        let keeper = self.module.open_ro_session(slot);
        let keeper = keeper.map_err(Pkcs11Error::call("open a session with the token"))?;
        if info.login_required() && !is_logged_in(&keeper)? {
            let login = self.login(&keeper, &info);
            state.pin_refused = matches!(login, Err(Pkcs11Error::PinRefused { .. }));
            login?;
        }
        Ok(Connection {
            slot,
            _keeper: keeper,
            idle: Vec::new(),
        })
    }

    fn login(&self, session: &Session, info: &TokenInfo) -> Result<(), Pkcs11Error> {
        if info.user_pin_locked() {
            return Err(Pkcs11Error::Locked);
        }
        if info.user_pin_final_try() {
            return Err(Pkcs11Error::LastTry);
        }
        let pin = AuthPin::from(self.pin.expose());
        match session.login(UserType::User, Some(&pin)) {
            // Somebody else in this process did it meanwhile.
            Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(()),
            Err(error) => Err(login_failed(error)),
            Ok(()) => Ok(()),
        }
    }

    fn find(&self) -> Result<(Slot, TokenInfo), Pkcs11Error> {
        let slots = self.module.get_slots_with_initialized_token();
        let slots = slots.map_err(Pkcs11Error::call("list the tokens"))?;
        let mut tokens = Vec::new();
        for slot in slots {
            let info = self.module.get_token_info(slot);
            tokens.push((
                slot,
                info.map_err(Pkcs11Error::call("read a token's label"))?,
            ));
        }
        choose(&self.name, tokens)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn load(path: &Path) -> Result<Pkcs11, Pkcs11Error> {
    let module = Pkcs11::new(path).map_err(|error| Pkcs11Error::Load {
        path: path.to_owned(),
        source: error.into(),
    })?;
    match module.initialize(locking()) {
        // A second key manager of this process: both may go on.
        Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => Ok(module),
        Err(error) => Err(Pkcs11Error::Initialize {
            path: path.to_owned(),
            source: error.into(),
        }),
    }
}

/// Several threads call the module.
fn locking() -> CInitializeArgs {
    CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)
}

fn choose(
    wanted: &TokenName,
    tokens: Vec<(Slot, TokenInfo)>,
) -> Result<(Slot, TokenInfo), Pkcs11Error> {
    let show = |(slot, info): &(Slot, TokenInfo)| {
        format!("{:?} in slot {}", info.label().trim_end(), slot.id())
    };
    let present: Vec<_> = tokens.iter().map(show).collect();
    let fits = |(slot, info): &(Slot, TokenInfo)| match wanted {
        TokenName::Label(label) => info.label().trim_end() == label,
        TokenName::Slot(id) => slot.id() == *id,
    };
    let mut found = tokens.into_iter().filter(fits);
    match (found.next(), found.next()) {
        (None, _) => Err(Pkcs11Error::NoToken {
            wanted: wanted.clone(),
            present: match present.is_empty() {
                true => "none".to_owned(),
                false => present.join(", "),
            },
        }),
        (Some(token), None) => Ok(token),
        (Some(first), Some(second)) => {
            let slots = [first, second].into_iter().chain(found);
            let slots: Vec<_> = slots.map(|(slot, _)| slot.id().to_string()).collect();
            Err(Pkcs11Error::SeveralTokens {
                wanted: wanted.clone(),
                slots: slots.join(", "),
            })
        }
    }
}

fn is_logged_in(session: &Session) -> Result<bool, Pkcs11Error> {
    let info = session.get_session_info();
    let info = info.map_err(Pkcs11Error::call("ask about a session"))?;
    Ok(matches!(
        info.session_state(),
        SessionState::RoUser | SessionState::RwUser
    ))
}

fn login_failed(error: Error) -> Pkcs11Error {
    use RvError as E;
    match error {
        Error::Pkcs11(E::PinLocked, _) => Pkcs11Error::Locked,
        Error::Pkcs11(E::PinIncorrect | E::PinInvalid | E::PinLenRange | E::PinExpired, _) => {
            Pkcs11Error::PinRefused {
                source: error.into(),
            }
        }
        error => Pkcs11Error::call("log in to the token")(error),
    }
}
