//! A phone for the real `adb` client: a daemon that speaks its transport protocol over TCP, with the
//! shell protocol version 2 and file sync, and runs shell commands in a folder of this machine.
//!
//! Written after `protocol.txt`, `OVERVIEW.TXT` and `SYNC.TXT` of Android's adb sources. Messages are
//! 24 bytes of six little-endian words (command, two arguments, length, checksum, complement of the
//! command) and data; a stream waits for OKAY after each WRTE. No authentication: `adb connect`
//! doesn't ask for any where the daemon doesn't.

use std::collections::HashMap;
use std::fs;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

const CNXN: u32 = u32::from_le_bytes(*b"CNXN");
const OPEN: u32 = u32::from_le_bytes(*b"OPEN");
const OKAY: u32 = u32::from_le_bytes(*b"OKAY");
const WRTE: u32 = u32::from_le_bytes(*b"WRTE");
const CLSE: u32 = u32::from_le_bytes(*b"CLSE");
/// With checksums: what every client understands.
const VERSION: u32 = 0x0100_0000;
const DATA_MAX: usize = 64 << 10;

/// A phone that lasts as long as this value.
pub struct Adbd {
    port: u16,
    phone: Arc<Phone>,
}

struct Phone {
    model: String,
    root: PathBuf,
    plugged: AtomicBool,
    ended: AtomicBool,
    connections: Mutex<Vec<TcpStream>>,
}

impl Adbd {
    /// A phone of this model whose files lie in `root`: `/data/local/tmp` is `root/tmp`, `/sys` is
    /// `root/sys`, and programs in `root/bin` come before this machine's.
    ///
    /// # Panics
    /// Where the folder or a port can't be had.
    pub fn start(root: &Path, model: &str) -> Self {
        fs::create_dir_all(root.join("tmp")).expect("the phone's folder can be made");
        fs::create_dir_all(root.join("bin")).expect("the phone's folder can be made");
        let getprop = format!(
            "#!/bin/sh\ncase $1 in\nro.product.manufacturer) echo Stand ;;\nro.product.model) echo '{model}' ;;\n\
             ro.build.fingerprint) echo 'stand/in/1:14/TEST' ;;\n*) echo ;;\nesac\n"
        );
        program(&root.join("bin/getprop"), &getprop);
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port is free");
        let port = listener
            .local_addr()
            .expect("a bound socket has an address")
            .port();
        let phone = Arc::new(Phone {
            model: model.into(),
            root: root.into(),
            plugged: AtomicBool::new(true),
            ended: AtomicBool::new(false),
            connections: Mutex::new(vec![]),
        });
        let accepting = phone.clone();
        thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                if accepting.ended.load(Ordering::SeqCst) {
                    return;
                }
                if accepting.plugged.load(Ordering::SeqCst) {
                    accepting.connect(socket);
                }
            }
        });
        Self { port, phone }
    }

    /// What `adb connect` and `adb -s` take.
    pub fn serial(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Pulls the cable: connections break, commands end, and no new connection is taken.
    pub fn unplug(&self) {
        self.phone.plugged.store(false, Ordering::SeqCst);
        self.phone.cut();
    }

    /// Puts the cable back.
    pub fn plug(&self) {
        self.phone.plugged.store(true, Ordering::SeqCst);
    }
}

impl Drop for Adbd {
    fn drop(&mut self) {
        self.phone.ended.store(true, Ordering::SeqCst);
        self.phone.cut();
        // Wakes the accepting thread, which then ends.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

/// Writes a script that can be run.
///
/// # Panics
/// Where it can't be written.
pub fn program(path: &Path, text: &str) {
    fs::write(path, text).expect("a script can be written");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("and made executable");
    }
}

impl Phone {
    fn cut(&self) {
        let mut connections = self
            .connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        for socket in connections.drain(..) {
            // A socket that is closed already is what's wanted.
            let _ = socket.shutdown(Shutdown::Both);
        }
    }

    fn connect(self: &Arc<Self>, socket: TcpStream) {
        let Ok(kept) = socket.try_clone() else { return };
        self.connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(kept);
        let phone = self.clone();
        thread::spawn(move || {
            let connection = Connection {
                phone,
                writer: Arc::new(Mutex::new(match socket.try_clone() {
                    Ok(writer) => writer,
                    Err(_) => return,
                })),
                streams: HashMap::new(),
                opened: 0,
            };
            // The client's end of the connection ends it here.
            let _ = connection.serve(socket);
        });
    }

    /// A path or command of the phone as this machine has it.
    fn here(&self, text: &str) -> String {
        let root = self.root.display();
        text.replace("/data/local/tmp", &format!("{root}/tmp"))
            .replace("/sys/", &format!("{root}/sys/"))
    }

    /// Only what lies in the phone's folder.
    fn path(&self, text: &str) -> io::Result<PathBuf> {
        let path = PathBuf::from(self.here(text));
        let inside = path.starts_with(&self.root) && !text.contains("..");
        inside
            .then_some(path)
            .ok_or_else(|| io::ErrorKind::PermissionDenied.into())
    }
}

/// One connection of the client's server; streams of all its clients run over it.
struct Connection {
    phone: Arc<Phone>,
    writer: Arc<Mutex<TcpStream>>,
    /// What the client sends into each of our streams.
    streams: HashMap<u32, Inlet>,
    opened: u32,
}

struct Inlet {
    data: Sender<Vec<u8>>,
    acknowledged: Sender<()>,
}

impl Connection {
    fn serve(mut self, mut socket: TcpStream) -> io::Result<()> {
        loop {
            let mut header = [0; 24];
            socket.read_exact(&mut header)?;
            let word = |i: usize| {
                u32::from_le_bytes([
                    header[4 * i],
                    header[4 * i + 1],
                    header[4 * i + 2],
                    header[4 * i + 3],
                ])
            };
            let (command, theirs, ours, length) = (word(0), word(1), word(2), word(3) as usize);
            if word(5) != !command || length > 4 * DATA_MAX {
                return Err(io::ErrorKind::InvalidData.into());
            }
            let mut data = vec![0; length];
            socket.read_exact(&mut data)?;
            match command {
                CNXN => {
                    let name = self.phone.model.replace(' ', "_");
                    let banner = format!(
                        "device::ro.product.name=stand;ro.product.model={name};ro.product.device=stand;features=shell_v2,cmd\0"
                    );
                    send(
                        &self.writer,
                        CNXN,
                        VERSION,
                        DATA_MAX as u32,
                        banner.as_bytes(),
                    )?;
                }
                OPEN => self.open(theirs, &data)?,
                OKAY => {
                    if let Some(inlet) = self.streams.get(&ours) {
                        // A stream that has ended needs no more.
                        let _ = inlet.acknowledged.send(());
                    }
                }
                WRTE => {
                    if let Some(inlet) = self.streams.get(&ours) {
                        let _ = inlet.data.send(data);
                    }
                    send(&self.writer, OKAY, ours, theirs, &[])?;
                }
                CLSE => drop(self.streams.remove(&ours)),
                _ => return Err(io::ErrorKind::InvalidData.into()),
            }
        }
    }

    fn open(&mut self, theirs: u32, service: &[u8]) -> io::Result<()> {
        let service = String::from_utf8_lossy(service)
            .trim_end_matches('\0')
            .to_string();
        self.opened += 1;
        let ours = self.opened;
        let ((data, incoming), (acknowledged, acknowledgements)) = (channel(), channel());
        self.streams.insert(ours, Inlet { data, acknowledged });
        let stream = Stream {
            ours,
            theirs,
            writer: self.writer.clone(),
            incoming,
            acknowledgements,
            buffer: vec![],
        };
        send(&self.writer, OKAY, ours, theirs, &[])?;
        let phone = self.phone.clone();
        thread::spawn(move || stream.run(&phone, &service));
        Ok(())
    }
}

fn send(writer: &Mutex<TcpStream>, command: u32, a: u32, b: u32, data: &[u8]) -> io::Result<()> {
    let sum = data
        .iter()
        .fold(0_u32, |s, byte| s.wrapping_add(u32::from(*byte)));
    let mut message = vec![];
    for word in [command, a, b, data.len() as u32, sum, !command] {
        message.extend(word.to_le_bytes());
    }
    message.extend(data);
    writer
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .write_all(&message)
}

/// One stream: a shell command or a file sync session.
struct Stream {
    ours: u32,
    theirs: u32,
    writer: Arc<Mutex<TcpStream>>,
    incoming: Receiver<Vec<u8>>,
    acknowledgements: Receiver<()>,
    buffer: Vec<u8>,
}

impl Stream {
    fn run(mut self, phone: &Phone, service: &str) {
        let (kind, argument) = service.split_once(':').unwrap_or((service, ""));
        let words: Vec<&str> = kind.split(',').collect();
        // A stream whose client has gone ends like one that is done.
        let _ = match words[0] {
            "shell" if words.contains(&"v2") => return self.shell(phone, argument),
            "sync" => self.sync(phone),
            _ => Ok(()),
        };
        let _ = send(&self.writer, CLSE, self.ours, self.theirs, &[]);
    }

    fn read(&mut self, length: usize) -> io::Result<Vec<u8>> {
        while self.buffer.len() < length {
            let more = self.incoming.recv();
            self.buffer
                .extend(more.map_err(|_| io::ErrorKind::UnexpectedEof)?);
        }
        Ok(self.buffer.drain(..length).collect())
    }

    fn read_length(&mut self) -> io::Result<usize> {
        let bytes = self.read(4)?;
        Ok(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as usize)
    }

    fn write(&mut self, data: &[u8]) -> io::Result<()> {
        for part in data.chunks(DATA_MAX) {
            send(&self.writer, WRTE, self.ours, self.theirs, part)?;
            let acknowledged = self.acknowledgements.recv();
            acknowledged.map_err(|_| io::ErrorKind::BrokenPipe)?;
        }
        Ok(())
    }

    /// Packets of a byte that names the channel, a length and data. The command's input is fed by
    /// another thread, as it may come at any time.
    fn shell(mut self, phone: &Phone, command: &str) {
        let mut shell = Command::new("sh");
        let path = std::env::var("PATH").unwrap_or_default();
        shell
            .arg("-c")
            .arg(phone.here(command))
            .env("PATH", format!("{}/bin:{path}", phone.root.display()))
            .current_dir(&phone.root)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let Ok(mut child) = shell.spawn() else { return };
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(stdin), Some(stdout), Some(stderr)) = pipes else {
            return;
        };
        let child = Arc::new(Mutex::new(child));
        let (_, nothing) = channel();
        let incoming = std::mem::replace(&mut self.incoming, nothing);
        let fed = child.clone();
        thread::spawn(move || {
            feed(stdin, &incoming);
            end(&fed);
        });
        let (sender, output) = channel();
        let readers = [(1_u8, reader(stdout)), (2, reader(stderr))];
        for (channel, from) in readers {
            let sender = sender.clone();
            thread::spawn(move || {
                for data in from {
                    if sender.send((channel, data)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        for (channel, data) in output {
            if self.packet(channel, &data).is_err() {
                end(&child);
                return;
            }
        }
        let status = child.lock().unwrap_or_else(PoisonError::into_inner).wait();
        let code = status.ok().and_then(|s| s.code()).unwrap_or(255) as u8;
        let _ = self.packet(3, &[code]);
        let _ = send(&self.writer, CLSE, self.ours, self.theirs, &[]);
    }

    fn packet(&mut self, channel: u8, data: &[u8]) -> io::Result<()> {
        let mut packet = vec![channel];
        packet.extend((data.len() as u32).to_le_bytes());
        packet.extend(data);
        self.write(&packet)
    }

    fn sync(&mut self, phone: &Phone) -> io::Result<()> {
        loop {
            let request = self.read(4)?;
            let length = self.read_length()?;
            if request == b"QUIT" {
                return Ok(());
            }
            let argument = String::from_utf8_lossy(&self.read(length)?).into_owned();
            match &*request {
                b"STAT" => {
                    let mode = match phone.path(&argument).and_then(fs::metadata) {
                        Ok(found) if found.is_dir() => 0o040_755_u32,
                        Ok(_) => 0o100_644,
                        Err(_) => 0,
                    };
                    let mut answer = b"STAT".to_vec();
                    for word in [mode, 0, 0] {
                        answer.extend(word.to_le_bytes());
                    }
                    self.write(&answer)?;
                }
                b"SEND" => {
                    let outcome = self.receive_file(phone, &argument)?;
                    let answer = match outcome {
                        Ok(()) => [&b"OKAY"[..], &[0; 4]].concat(),
                        Err(error) => {
                            let text = error.to_string();
                            let length = (text.len() as u32).to_le_bytes();
                            [&b"FAIL"[..], &length, text.as_bytes()].concat()
                        }
                    };
                    self.write(&answer)?;
                }
                _ => return Err(io::ErrorKind::InvalidData.into()),
            }
        }
    }

    /// `PATH,MODE`, then DATA blocks up to DONE. The inner error is the file's.
    fn receive_file(&mut self, phone: &Phone, argument: &str) -> io::Result<io::Result<()>> {
        let path = argument.rsplit_once(',').map_or(argument, |(path, _)| path);
        let mut file = phone.path(path).and_then(fs::File::create);
        loop {
            let kind = self.read(4)?;
            let length = self.read_length()?;
            if kind == b"DONE" {
                return Ok(file.map(drop));
            }
            let data = self.read(length)?;
            if let Ok(open) = &mut file
                && let Err(error) = open.write_all(&data)
            {
                file = Err(error);
            }
        }
    }
}

/// Passes a client's input on to a command, until the client has gone.
fn feed(mut stdin: ChildStdin, incoming: &Receiver<Vec<u8>>) {
    let mut pending: Vec<u8> = vec![];
    let mut open = true;
    while open {
        let Ok(data) = incoming.recv() else { return };
        pending.extend(data);
        while let Some((channel, data)) = take_packet(&mut pending) {
            match channel {
                // A command that reads no more is fine.
                0 => drop(stdin.write_all(&data).and_then(|()| stdin.flush())),
                3 | 4 => open = false,
                _ => {}
            }
        }
    }
    drop(stdin);
    // The client closed its input; its command goes on until the client leaves.
    while incoming.recv().is_ok() {}
}

/// A whole packet from the front of what came in.
fn take_packet(pending: &mut Vec<u8>) -> Option<(u8, Vec<u8>)> {
    let header = pending.get(..5)?;
    let length = u32::from_le_bytes([header[1], header[2], header[3], header[4]]) as usize;
    if pending.len() < 5 + length {
        return None;
    }
    let packet: Vec<u8> = pending.drain(..5 + length).collect();
    Some((packet[0], packet[5..].to_vec()))
}

/// What a pipe gives, block by block.
fn reader(mut pipe: impl Read + Send + 'static) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        let mut block = vec![0; 32 << 10];
        while let Ok(length @ 1..) = pipe.read(&mut block) {
            if sender.send(block[..length].to_vec()).is_err() {
                return;
            }
        }
    });
    receiver
}

fn end(child: &Mutex<Child>) {
    // Fails only for a command that has ended.
    let _ = child.lock().unwrap_or_else(PoisonError::into_inner).kill();
}
