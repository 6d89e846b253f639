//! A browser without a window, driven over the DevTools protocol
//! (<https://chromedevtools.github.io/devtools-protocol/>): a WebSocket that carries JSON.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

const FLAGS: [&str; 11] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--remote-debugging-port=0",
    "about:blank",
];

/// How long the browser may take for an answer.
const PATIENCE: Duration = Duration::from_secs(90);

/// A browser with one page.
pub(crate) struct Browser {
    process: Child,
    socket: Socket,
    session: String,
    last_id: u64,
    events: Vec<Value>,
    /// Where it keeps its things; gone with it.
    _profile: tempfile::TempDir,
}

/// A picture, 8-bit RGB.
pub(crate) struct Picture {
    width: usize,
    rgb: Vec<[u8; 3]>,
}

impl Browser {
    /// Starts one; nothing, and a word about it, where there is none.
    pub(crate) fn start(test: &str) -> Option<Self> {
        let program = std::env::var("MNAS_CHROMIUM").unwrap_or("chromium".into());
        let profile = tempfile::tempdir().unwrap();
        let started = Command::new(&program)
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .args(FLAGS)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn();
        let mut process = match started {
            Ok(process) => process,
            Err(e) => {
                eprintln!("skipped: {test} (no browser {program}: {e})");
                return None;
            }
        };
        let mut lines = BufReader::new(process.stderr.take().unwrap());
        let address = listening(&mut lines);
        // What it says later has to go somewhere, or it blocks.
        std::thread::spawn(move || std::io::copy(&mut lines, &mut std::io::sink()));
        let socket = Socket::connect(&address);
        let mut browser = Self {
            process,
            socket,
            session: String::new(),
            last_id: 0,
            events: vec![],
            _profile: profile,
        };
        let target = browser.call("Target.createTarget", json!({ "url": "about:blank" }));
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let attached = browser.call("Target.attachToTarget", attach);
        browser.session = attached["sessionId"].as_str().unwrap().into();
        for domain in ["Page", "Runtime", "Log", "Network"] {
            browser.call(&format!("{domain}.enable"), json!({}));
        }
        browser.window(1280, 800, "light");
        Some(browser)
    }

    /// Sets the window's size in pixels and whether the system is light or dark.
    pub(crate) fn window(&mut self, width: u32, height: u32, scheme: &str) {
        let size =
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.call("Emulation.setDeviceMetricsOverride", size);
        let media = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.call("Emulation.setEmulatedMedia", media);
    }

    /// Opens an address and waits until it is loaded.
    pub(crate) fn open(&mut self, url: &str) {
        self.events.retain(|e| e["method"] != "Page.loadEventFired");
        self.call("Page.navigate", json!({ "url": url }));
        self.loaded();
    }

    /// Runs a script that leads to another page, and waits until that is loaded.
    pub(crate) fn follow(&mut self, script: &str) {
        self.events.retain(|e| e["method"] != "Page.loadEventFired");
        self.eval(script);
        self.loaded();
    }

    fn loaded(&mut self) {
        while !self
            .events
            .iter()
            .any(|e| e["method"] == "Page.loadEventFired")
        {
            let message = self.socket.read();
            self.events.push(message);
        }
    }

    /// The value of an expression in the page; promises are waited for.
    pub(crate) fn eval(&mut self, script: &str) -> Value {
        let call = json!({ "expression": script, "awaitPromise": true, "returnByValue": true });
        let answer = self.call("Runtime.evaluate", call);
        if let Some(error) = answer.get("exceptionDetails") {
            panic!("{script}: {error}");
        }
        answer["result"]["value"].clone()
    }

    /// Waits until an expression in the page is true.
    pub(crate) fn until(&mut self, condition: &str) {
        self.eval(&format!(
            "new Promise((ok, no) => {{ const from = Date.now(); const look = () => {{ \
             try {{ if ({condition}) return ok(); }} catch {{}} \
             if (Date.now() - from > 60000) return no(new Error('never true')); \
             setTimeout(look, 10); }}; look(); }})"
        ));
    }

    /// Text of the first element that a selector finds.
    pub(crate) fn text(&mut self, selector: &str) -> String {
        let script = format!("document.querySelector({}).innerText", json!(selector));
        self.eval(&script).as_str().unwrap_or_default().into()
    }

    /// The whole page as a picture.
    pub(crate) fn picture(&mut self) -> Picture {
        let script =
            "[document.documentElement.clientWidth, document.documentElement.scrollHeight]";
        let size = self.eval(script);
        let clip = json!({ "x": 0, "y": 0, "width": size[0], "height": size[1], "scale": 1 });
        let how = json!({ "format": "png", "captureBeyondViewport": true, "clip": clip });
        let answer = self.call("Page.captureScreenshot", how);
        Picture::of(decode(answer["data"].as_str().unwrap()))
    }

    /// What went wrong in pages so far, and addresses asked for outside `origin`.
    pub(crate) fn complaints(&self, origin: &str) -> Vec<String> {
        let complaint = |e: &Value| match e["method"].as_str()? {
            "Runtime.exceptionThrown" => Some(e["params"]["exceptionDetails"].to_string()),
            "Runtime.consoleAPICalled" if e["params"]["type"] == "error" => {
                Some(e["params"]["args"].to_string())
            }
            "Log.entryAdded" if e["params"]["entry"]["level"] == "error" => {
                Some(e["params"]["entry"].to_string())
            }
            "Network.requestWillBeSent" => {
                let url = e["params"]["request"]["url"].as_str()?;
                (!url.starts_with(origin)).then(|| format!("asked for {url}"))
            }
            _ => None,
        };
        self.events.iter().filter_map(complaint).collect()
    }

    /// Number of requests so far, to show that some were seen.
    pub(crate) fn requests(&self) -> usize {
        let sent = |e: &&Value| e["method"] == "Network.requestWillBeSent";
        self.events.iter().filter(sent).count()
    }

    fn call(&mut self, method: &str, params: Value) -> Value {
        self.last_id += 1;
        let mut message = json!({ "id": self.last_id, "method": method, "params": params });
        if !self.session.is_empty() {
            message["sessionId"] = json!(self.session);
        }
        self.socket.write(message.to_string().as_bytes());
        loop {
            let mut answer = self.socket.read();
            if answer["id"] == json!(self.last_id) {
                assert!(answer.get("error").is_none(), "{method}: {answer}");
                return answer["result"].take();
            }
            self.events.push(answer);
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Its helper processes end with it.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The address that a starting browser prints.
fn listening(lines: &mut impl BufRead) -> String {
    let mut said = String::new();
    loop {
        let from = said.len();
        assert!(
            lines.read_line(&mut said).unwrap() > 0,
            "no browser: {said}"
        );
        if let Some((_, address)) = said[from..].split_once("DevTools listening on ws://") {
            return address.trim().into();
        }
    }
}

/// A WebSocket (RFC 6455), as far as a client needs it here.
struct Socket(BufReader<TcpStream>);

impl Socket {
    fn connect(address: &str) -> Self {
        let (host, path) = address.split_once('/').unwrap();
        let mut stream = TcpStream::connect(host).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let ask = format!(
            "GET /{path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: bW5hcyBkYXNoYm9hcmQhIQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        );
        stream.write_all(ask.as_bytes()).unwrap();
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        while line != "\r\n" {
            line.clear();
            assert!(reader.read_line(&mut line).unwrap() > 0, "no WebSocket");
        }
        Self(reader)
    }

    /// One text frame. The mask is zero: it protects proxies, of which there are none here.
    fn write(&mut self, body: &[u8]) {
        let mut frame = vec![0x81];
        match body.len() {
            n @ 0..126 => frame.push(0x80 | n as u8),
            n @ 126..65_536 => {
                frame.push(0x80 | 126);
                frame.extend((n as u16).to_be_bytes());
            }
            n => {
                frame.push(0x80 | 127);
                frame.extend((n as u64).to_be_bytes());
            }
        }
        frame.extend([0; 4]);
        frame.extend(body);
        self.0.get_mut().write_all(&frame).unwrap();
    }

    /// The next message, which may come in several frames.
    fn read(&mut self) -> Value {
        let mut body = vec![];
        loop {
            let mut head = [0; 2];
            self.0.read_exact(&mut head).expect("the browser answers");
            let len = match head[1] & 0x7f {
                126 => u64::from(u16::from_be_bytes(self.bytes())),
                127 => u64::from_be_bytes(self.bytes()),
                n => u64::from(n),
            };
            let mut part = vec![0; len as usize];
            self.0.read_exact(&mut part).unwrap();
            let control = head[0] & 0x08 != 0;
            if control {
                continue;
            }
            body.extend(part);
            if head[0] & 0x80 != 0 {
                return serde_json::from_slice(&body).unwrap();
            }
        }
    }

    fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.0.read_exact(&mut bytes).unwrap();
        bytes
    }
}

/// Bytes of a base64 text (RFC 4648).
fn decode(text: &str) -> Vec<u8> {
    let value = |c: u8| match c {
        b'A'..=b'Z' => c - b'A',
        b'a'..=b'z' => c - b'a' + 26,
        b'0'..=b'9' => c - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let digits: Vec<u8> = text.bytes().filter(|c| *c != b'=').map(value).collect();
    let mut bytes = Vec::with_capacity(digits.len() * 3 / 4);
    for four in digits.chunks(4) {
        let bits = four.iter().fold(0u32, |b, d| b << 6 | u32::from(*d));
        let bits = bits << (6 * (4 - four.len()));
        bytes.extend(&bits.to_be_bytes()[1..four.len()]);
    }
    bytes
}

impl Picture {
    fn of(png: Vec<u8>) -> Self {
        let mut reader = png::Decoder::new(std::io::Cursor::new(&png))
            .read_info()
            .unwrap();
        let mut bytes = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut bytes).unwrap();
        let channels = info.color_type.samples();
        let rgb = bytes[..info.buffer_size()]
            .chunks(channels)
            .map(|p| [p[0], p[1], p[2]])
            .collect();
        Self {
            width: info.width as usize,
            rgb,
        }
    }

    /// Share of the pixels in a rectangle (left, top, width, height) that aren't of its most
    /// frequent colour, and the number of colours.
    pub(crate) fn drawn(&self, rect: [f64; 4]) -> (f64, usize) {
        let [left, top, width, height] = rect.map(|v| v.max(0.0) as usize);
        let mut colours = std::collections::HashMap::new();
        for y in top..(top + height).min(self.rgb.len() / self.width) {
            for x in left..(left + width).min(self.width) {
                *colours
                    .entry(self.rgb[y * self.width + x])
                    .or_insert(0usize) += 1;
            }
        }
        let all: usize = colours.values().sum();
        let most = colours.values().max().copied().unwrap_or(0);
        (1.0 - most as f64 / all.max(1) as f64, colours.len())
    }

    /// The upper part of the picture, at most so many pixels high, as a small PNG file.
    pub(crate) fn top(&self, height: usize) -> Vec<u8> {
        let height = height.min(self.rgb.len() / self.width);
        let mut file = vec![];
        let mut encoder = png::Encoder::new(&mut file, self.width as u32, height as u32);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_compression(png::Compression::High);
        let mut writer = encoder.write_header().unwrap();
        let bytes = self.rgb[..self.width * height].as_flattened();
        writer.write_image_data(bytes).unwrap();
        writer.finish().unwrap();
        file
    }

    /// The colour of a pixel.
    pub(crate) fn at(&self, x: usize, y: usize) -> [u8; 3] {
        self.rgb[y * self.width + x]
    }
}
