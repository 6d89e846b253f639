//! A measuring program that speaks JSON lines, over any [`Route`].

use std::borrow::Cow;
use std::path::Path;
use std::time::Duration;

use super::process::Process;
use super::protocol::{
    Asked, Hello, Measure, Refusal, Request, Times, VERSION, check_hello, check_reply, garbage,
    to_line,
};
use super::route::{Delivered, Route};
use super::{Ask, CommandError, Limits, Link, Recovery};
use crate::export::ModelFile;

pub(crate) struct Lines {
    route: Box<dyn Route>,
    limits: Limits,
    /// None before the greeting and after it misbehaved.
    process: Option<Process>,
    requests: u64,
}

impl Lines {
    pub(crate) fn new(route: Box<dyn Route>, limits: Limits) -> Self {
        Self {
            route,
            limits,
            process: None,
            requests: 0,
        }
    }

    fn greet(&mut self) -> Result<(Process, Hello), CommandError> {
        self.route.prepare()?;
        let label = self.route.label();
        let mut process = Process::start(label, self.route.command(), self.limits.line)?;
        let request = to_line(&Request::Hello { protocol: VERSION });
        let line = process.exchange(&request, self.limits.hello)?;
        let hello = check_hello(&line).map_err(|problem| garbage(label, &line, problem))?;
        Ok((process, hello))
    }

    /// Sends a request to the program, started again where it was ended, and waits for the reply.
    /// After an error the program is ended: its state is unknown.
    fn exchange(
        &mut self,
        request: &Request<'_>,
        limit: Duration,
    ) -> Result<(Process, Vec<u8>), CommandError> {
        let mut process = match self.process.take() {
            Some(process) => process,
            None => self.greet()?.0,
        };
        let line = process.exchange(&to_line(request), limit)?;
        Ok((process, line))
    }
}

impl Link for Lines {
    fn label(&self) -> &Path {
        self.route.label()
    }

    fn hello(&mut self) -> Result<Hello, CommandError> {
        self.process = None;
        let (process, mut hello) = self.greet()?;
        self.process = Some(process);
        if let Some(device) = self.route.device() {
            hello.device = device;
        }
        Ok(hello)
    }

    fn deliver(&mut self, file: &ModelFile, sha256: &str) -> Result<Delivered, CommandError> {
        self.route.prepare()?;
        self.route.deliver(file, sha256)
    }

    fn remove(&mut self, delivered: Delivered) {
        self.route.remove(delivered);
    }

    fn measure(&mut self, ask: &Ask<'_>) -> Result<Result<Times, Refusal>, CommandError> {
        self.requests += 1;
        let id = self.requests;
        let request = Request::Measure(Measure {
            id,
            name: Cow::Borrowed(ask.name),
            spec: Cow::Borrowed(ask.spec),
            model: Cow::Borrowed(ask.model),
            model_sha256: Cow::Borrowed(ask.sha256),
            format: ask.format,
            runs: ask.runs,
            warmup: ask.warmup,
            seconds_max: ask.seconds_max,
            precision: ask.precision,
            core: ask.core,
            answer: false,
        });
        let limit = self.limits.overhead + Duration::from_secs_f64(ask.seconds_max);
        let (process, line) = self.exchange(&request, limit)?;
        let asked = Asked {
            id,
            runs: ask.runs,
            model_sha256: ask.sha256,
            must_echo: self.route.is_remote(),
        };
        let answer = check_reply(&line, &asked)
            .map_err(|problem| garbage(self.route.label(), &line, problem))?;
        self.process = Some(process);
        Ok(answer)
    }

    fn recover(&mut self, patience: Duration) -> Recovery {
        self.process = None;
        self.route.recover(patience)
    }
}
