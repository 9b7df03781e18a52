//! What is where: from a request to its answer.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::energy::{self, Range};
use super::guard::{Guard, Pass};
use super::page;
use super::picture::Darkroom;
use super::request::{Refusal, Request};
use super::response::Response;
use crate::clock::{Clock, Stamp};
use crate::metrics;
use crate::status::Board;

/// The board, and who may look at it.
pub(super) struct Site {
    board: Arc<Board>,
    clock: Arc<dyn Clock>,
    guard: Guard,
    stale: Duration,
    darkroom: Darkroom,
    /// Content-Security-Policy of the page.
    policy: String,
}

impl Site {
    pub fn new(board: Arc<Board>, clock: Arc<dyn Clock>, guard: Guard, stale: Duration) -> Site {
        let (darkroom, policy) = (Darkroom::default(), page::policy());
        Site { board, clock, guard, stale, darkroom, policy }
    }

    /// Monotonic milliseconds.
    pub fn now_ms(&self) -> u64 {
        self.clock.now().mono_ms
    }

    /// The answer, and whether it goes without its body.
    pub fn answer(&mut self, asked: Result<Request, Refusal>) -> (Response, bool) {
        let (response, head) = match asked {
            Ok(request) => (self.guarded(&request), request.head),
            Err(Refusal { status: 405, why }) => {
                (Response::text(405, why).with("Allow", "GET, HEAD"), false)
            }
            Err(refusal) => (Response::text(refusal.status, refusal.why), false),
        };
        self.board.metrics().answer(response.status);
        (response, head)
    }

    fn guarded(&mut self, request: &Request) -> Response {
        match self.guard.pass(request) {
            Pass::Yes => self.get(request),
            Pass::Remember(cookie) => self.get(request).with("Set-Cookie", cookie),
            Pass::Host => Response::text(403, "this name is not this machine's: ask for localhost"),
            Pass::Token if request.path == "/" => page::ask_for_token(&self.policy),
            Pass::Token => Response::text(401, "a token is needed: Authorization: Bearer TOKEN")
                .with("WWW-Authenticate", "Bearer realm=\"oddsight\""),
        }
    }

    fn get(&mut self, request: &Request) -> Response {
        let now = self.clock.now();
        match request.path.as_str() {
            "/" => {
                let status = self.board.status(now, self.stale);
                page::page(&self.board, &status, request, now, &self.policy)
            }
            "/live" => page::parts(&self.board.status(now, self.stale)),
            "/status.json" => self.status(now),
            "/energy.json" => self.energy(request, now),
            "/snapshot.jpg" => self.snapshot(request, now),
            "/healthz" => self.health(now),
            "/metrics" => {
                let status = self.board.status(now, self.stale);
                let text = metrics::text(self.board.metrics(), &status);
                Response::new("text/plain; version=0.0.4; charset=utf-8", text)
            }
            "/icon.svg" => page::icon(request.query("state")),
            _ => Response::text(
                404,
                "nothing is here: / /status.json /energy.json /snapshot.jpg /metrics /healthz",
            ),
        }
    }

    fn status(&self, now: Stamp) -> Response {
        match serde_json::to_vec_pretty(&self.board.status(now, self.stale)) {
            Ok(body) => Response::new("application/json", body),
            Err(e) => Response::text(500, &e.to_string()),
        }
    }

    fn energy(&self, request: &Request, now: Stamp) -> Response {
        let after = request.query("after").unwrap_or("0");
        let Ok(after) = after.parse() else {
            return Response::text(400, "after: not the `next` of an earlier answer");
        };
        let range = match request.query("range").map(Range::named) {
            None => Range::default(),
            Some(Some(range)) => range,
            Some(None) => return Response::text(400, "range: one of 1m, 10m, 1h, 24h"),
        };
        Response::new("application/json", energy::json(&self.board, range, after, now))
    }

    fn snapshot(&mut self, request: &Request, now: Stamp) -> Response {
        let newest = request.query("frame").is_none();
        let still = match request.query("frame").map(str::parse) {
            None => self.board.last(),
            Some(Ok(number)) => self.board.still(number),
            Some(Err(_)) => return Response::text(400, "frame: not a number"),
        };
        let Some(still) = still else {
            let why = if newest { "no frame was scored yet" } else { "this frame is not kept" };
            return Response::text(404, why);
        };
        let identity = self.board.identity();
        let region = match request.query("region") {
            None => None,
            Some(name) => match identity.regions.iter().position(|place| place.name == name) {
                Some(index) => Some((index, identity.regions[index].at)),
                None => return Response::text(404, "there is no such region"),
            },
        };
        match self.darkroom.print(&still, region, newest, now.mono_ms) {
            Ok(file) => Response { body: file, ..Response::new("image/jpeg", "") },
            Err(why) => Response::text(500, &why),
        }
    }

    fn health(&self, now: Stamp) -> Response {
        let health = self.board.health(now, self.stale);
        let body = json!(health).to_string() + "\n";
        let status = if health.ok { 200 } else { 503 };
        Response { status, ..Response::new("application/json", body) }
    }
}

#[cfg(test)]
mod tests;
