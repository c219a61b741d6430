//! The published crate `gemini-live` as a contender of `benches/duplex.py`, on one thread as Python's contenders are.
//!
//! `duplex NAME SESSIONS PORT`, with `SSL_CERT_FILE` naming whom to trust. It prints `{"open":N}`; a line with a number
//! of chunks runs a slice and is answered by its CPU time and by what the sessions heard. See `benches/rig/client.py`.

use std::cell::{Cell, RefCell};
use std::error::Error;
use std::rc::Rc;
use std::time::Duration;

use gemini_live::session::{ReconnectPolicy, Session, SessionConfig, SessionObservation};
use gemini_live::transport::{Auth, Endpoint, TransportConfig};
use gemini_live::types::{ServerEvent, SetupConfig};
use rustix::time::{ClockId, clock_gettime};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::sync::Notify;
use tokio::task::LocalSet;
use tokio::time::{Instant, sleep_until, timeout};

const CHUNK: Duration = Duration::from_millis(20);
const PATIENCE: Duration = Duration::from_secs(5);
/// Bytes of a chunk and of a message, and of what numbers them; the rest is the same noise everywhere.
const CHUNK_BYTES: usize = 640;
const UP_HEAD_BYTES: usize = 16;
const MESSAGE_BYTES: usize = 1_920;
const DOWN_HEAD_BYTES: usize = 9;

/// What all sessions have heard.
#[derive(Default)]
struct Tally {
    left: Cell<u64>,
    heard: Cell<u64>,
    wrong: Cell<u64>,
    errors: RefCell<Vec<String>>,
    complete: Notify,
}

impl Tally {
    fn one_less(&self) {
        self.heard.set(self.heard.get() + 1);
        self.left.set(self.left.get().saturating_sub(1));
        if self.left.get() == 0 {
            self.complete.notify_one();
        }
    }

    fn blame(&self, error: String) {
        self.wrong.set(self.wrong.get() + 1);
        let mut errors = self.errors.borrow_mut();
        if errors.len() < 5 {
            errors.push(error);
        }
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Pacing {
    Push,
    Task,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, name, sessions, port, noise_file] = arguments.as_slice() else {
        return Err("usage: duplex NAME SESSIONS PORT NOISE_FILE".into());
    };
    let pacing = match name.split('-').nth(1) {
        Some("push") => Pacing::Push,
        Some("task") => Pacing::Task,
        _ => return Err("the pacing is push or task".into()),
    };
    // the bodies of chunk and message, one behind the other
    let noise = std::fs::read(noise_file)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    LocalSet::new().block_on(
        &runtime,
        run(name, pacing, sessions.parse()?, port.parse()?, noise),
    )
}

async fn run(
    name: &str,
    pacing: Pacing,
    count: u32,
    port: u16,
    noise: Vec<u8>,
) -> Result<(), Box<dyn Error>> {
    let (up, down) = noise.split_at(CHUNK_BYTES - UP_HEAD_BYTES);
    let down: Rc<[u8]> = down.into();
    let tally = Rc::new(Tally::default());
    let mut sessions = Vec::new();
    for number in 0..count {
        let session = Session::connect(SessionConfig {
            transport: TransportConfig {
                endpoint: Endpoint::Custom(format!("wss://127.0.0.1:{port}/ws")),
                auth: Auth::None,
                ..Default::default()
            },
            setup: SetupConfig {
                model: format!("models/{name}"),
                ..Default::default()
            },
            reconnect: ReconnectPolicy {
                enabled: false,
                ..Default::default()
            },
        })
        .await?;
        tokio::task::spawn_local(listen(
            session.clone(),
            number,
            Rc::clone(&tally),
            Rc::clone(&down),
        ));
        sessions.push(session);
    }
    println!(r#"{{"open":{count}}}"#);
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    let mut sent = 0;
    while let Some(line) = lines.next_line().await? {
        let chunks: u32 = line.trim().parse()?;
        let prepared = prepare(count, sent, chunks, up);
        sent += chunks;
        tally.left.set(u64::from(count) * u64::from(chunks / 2));
        let heard = tally.heard.get();
        let (began_at, cpu) = (Instant::now(), cpu_s());
        match pacing {
            Pacing::Push => in_step(&sessions, &prepared).await?,
            Pacing::Task => each_on_its_own(&sessions, prepared).await?,
        }
        if tally.left.get() > 0 && timeout(PATIENCE, tally.complete.notified()).await.is_err() {
            tally.blame(format!("{} messages are missing", tally.left.get()));
        }
        let answer = serde_json::json!({
            "cpu_s": cpu_s() - cpu,
            "wall_s": began_at.elapsed().as_secs_f64(),
            "heard": tally.heard.get() - heard,
            "wrong": tally.wrong.get(),
            "errors": *tally.errors.borrow(),
        });
        println!("{answer}");
    }
    Ok(())
}

/// CPU time of this process in seconds.
fn cpu_s() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    #[expect(clippy::cast_precision_loss, reason = "hours, to the nanosecond, fit")]
    let seconds = time.tv_sec as f64 + time.tv_nsec as f64 / 1e9;
    seconds
}

/// The chunks of a slice, one list for each session.
fn prepare(sessions: u32, first: u32, count: u32, body: &[u8]) -> Vec<Vec<Vec<u8>>> {
    (0..sessions)
        .map(|session| {
            (first..first + count)
                .map(|sequence| {
                    let head = [session, sequence, first, count].map(u32::to_le_bytes);
                    [head.concat().as_slice(), body].concat()
                })
                .collect()
        })
        .collect()
}

/// One timer for all sessions.
async fn in_step(sessions: &[Session], chunks: &[Vec<Vec<u8>>]) -> Result<(), Box<dyn Error>> {
    let mut due_at = Instant::now();
    for number in 0..chunks.first().map_or(0, Vec::len) {
        sleep_until(due_at).await;
        for (session, chunks) in sessions.iter().zip(chunks) {
            session.send_audio(&chunks[number]).await?;
        }
        due_at += CHUNK;
    }
    Ok(())
}

/// A task for each session, its phase within the 20 ms its own.
async fn each_on_its_own(
    sessions: &[Session],
    chunks: Vec<Vec<Vec<u8>>>,
) -> Result<(), Box<dyn Error>> {
    let began_at = Instant::now();
    let count = u32::try_from(sessions.len())?;
    let speakers: Vec<_> = (0..count)
        .zip(sessions.iter().cloned().zip(chunks))
        .map(|(number, (session, chunks))| {
            tokio::task::spawn_local(async move {
                let mut due_at = began_at + CHUNK * number / count;
                for chunk in chunks {
                    sleep_until(due_at).await;
                    session.send_audio(&chunk).await?;
                    due_at += CHUNK;
                }
                Ok::<_, gemini_live::error::SessionError>(())
            })
        })
        .collect();
    for speaker in speakers {
        speaker.await??;
    }
    Ok(())
}

/// Each message must be the next one, whole.
async fn listen(mut session: Session, number: u32, tally: Rc<Tally>, body: Rc<[u8]>) {
    let mut next = 0_u32;
    while let Some(observation) = session.next_observed_event().await {
        match observation {
            SessionObservation::Event(ServerEvent::ModelAudio(pcm)) => {
                let head = [number, next].map(u32::to_le_bytes).concat();
                if pcm.len() != MESSAGE_BYTES
                    || !pcm.starts_with(&head)
                    || pcm.get(DOWN_HEAD_BYTES..) != Some(&*body)
                {
                    tally.blame(format!("session {number} got another message than {next}"));
                }
                next += 1;
                tally.one_less();
            }
            SessionObservation::Event(other) => {
                tally.blame(format!("session {number} got {other:?}"));
            }
            SessionObservation::Lagged { count } => {
                tally.blame(format!("session {number} was told that it lost {count}"));
            }
        }
    }
}
