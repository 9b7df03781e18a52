//! Trials of output lines and buttons.

use std::sync::Arc;
use std::time::Duration;
use std::{fs, thread};

use oddsight::clock::Stamp;
use oddsight::event::{Cause, EventId, Fault, FaultKind, Machine, Message, Phase};
use oddsight::gpio::{self, Backend, GpioErrorKind, Level, LineSpec, OutputLine};
use oddsight::sink::gpio::{GpioSettings, GpioSink, Trigger};
use oddsight::sink::{Item, Sink as _};

use crate::rig::{Button, Output, Planned, Rig, Witness, part, trial};

type Trial<T> = fn(&T) -> Result<(), String>;

pub fn plan(rig: Option<&Rig>) -> Vec<Planned> {
    let mut trials = Vec::new();
    let outputs: [(&str, Trial<Output>); 4] = [
        ("follows", follows),
        ("is_one_programs", is_one_programs),
        ("shows_events", shows_events),
        ("is_made_safe", is_made_safe),
    ];
    match rig.map(|rig| rig.output.as_slice()) {
        Some(lines @ [_, ..]) => trials.extend(lines.iter().flat_map(|line| {
            outputs.map(|(name, run)| {
                trial(
                    &format!("output_{}_{}::{name}", line.backend, line.line),
                    Ok(line.clone()),
                    run,
                )
            })
        })),
        _ => trials.extend(outputs.map(|(name, run)| {
            let missing = part(rig, "output line", |rig| rig.output.first());
            trial(&format!("output::{name}"), missing, run)
        })),
    }
    let button = || part(rig, "button", |rig| rig.button.as_ref());
    trials.push(trial("button::each_press_is_told_once", button(), each_press_is_told_once));
    trials
}

impl Output {
    fn spec(&self) -> Result<LineSpec, String> {
        let backend: Backend = self.backend.parse().map_err(|e| format!("{e}"))?;
        Ok(LineSpec { backend, chip: self.chip.clone(), line: self.line })
    }

    /// Checks the level by who sees it from outside, and by the line itself if somebody holds it.
    fn shows(
        &self,
        line: Option<&dyn OutputLine>,
        wanted: Level,
        when: &str,
    ) -> Result<(), String> {
        let mut seen = Vec::new();
        if let Some(line) = line {
            seen.push(("the line itself", line.level().map_err(|e| e.to_string())?));
        }
        match &self.seen_by {
            Some(Witness::File(path)) => {
                let text = fs::read_to_string(path).map_err(|e| format!("{path:?}: {e}"))?;
                let level = if text.trim() == "0" { Level::Low } else { Level::High };
                seen.push(("the witness", level));
            }
            Some(Witness::Wire { chip, line }) => seen.push(("the wire", read(chip, *line)?)),
            None => {}
        }
        match seen.iter().find(|(_, level)| *level != wanted) {
            Some((who, level)) => Err(format!("{when}: {who} sees {level}, not {wanted}")),
            None => Ok(()),
        }
    }
}

fn read(chip: &std::path::Path, line: u32) -> Result<Level, String> {
    let request = gpiocdev::Request::builder().on_chip(chip).with_line(line).as_input().request();
    let value = request.and_then(|request| request.lone_value()).map_err(|e| e.to_string())?;
    Ok(match value {
        gpiocdev::line::Value::Active => Level::High,
        gpiocdev::line::Value::Inactive => Level::Low,
    })
}

fn text(e: impl std::fmt::Display) -> String {
    e.to_string()
}

fn follows(rig: &Output) -> Result<(), String> {
    for first in [Level::High, Level::Low] {
        let mut line = rig.spec()?.open(first).map_err(text)?;
        rig.shows(Some(&*line), first, "opened")?;
        for level in [!first, first, !first] {
            line.set(level).map_err(text)?;
            rig.shows(Some(&*line), level, "set")?;
        }
    }
    Ok(())
}

fn is_one_programs(rig: &Output) -> Result<(), String> {
    let spec = rig.spec()?;
    let held = spec.open(Level::Low).map_err(text)?;
    let second = spec.open(Level::High).err().ok_or("a second user got the line")?;
    if second.kind() != GpioErrorKind::Busy {
        return Err(format!("another error: {second}"));
    }
    rig.shows(Some(&*held), Level::Low, "after a second user was refused")
}

fn message(event: u64, phase: Phase) -> Item {
    let fault = Fault { fault: FaultKind::Lost, why: "a trial".into(), count: 1 };
    Item::Message(Arc::new(Message {
        event: EventId::new(event),
        phase,
        seq: 0,
        boot_id: "trial".into(),
        at: Stamp::default(),
        started_ms: 0,
        device: "trial".into(),
        cause: Cause::CameraFault(fault),
        machine: Machine::default(),
    }))
}

impl Output {
    fn settings(&self, active: Level, safe: Level) -> Result<GpioSettings, String> {
        let LineSpec { backend, chip, line } = self.spec()?;
        let on = vec![Trigger::CameraFault];
        Ok(GpioSettings { backend, chip, line, active, safe, on, ..GpioSettings::default() })
    }
}

fn shows_events(rig: &Output) -> Result<(), String> {
    for (active, safe) in [(Level::High, Level::Low), (Level::Low, Level::Low)] {
        let mut sink = GpioSink::open(rig.settings(active, safe)?).map_err(text)?;
        rig.shows(None, safe, "before the first tick")?;
        sink.tick(Stamp::default());
        rig.shows(None, !active, "in charge")?;
        sink.deliver(&message(1, Phase::Start)).map_err(text)?;
        rig.shows(None, active, "alarm")?;
        sink.deliver(&message(1, Phase::End)).map_err(text)?;
        rig.shows(None, !active, "after the alarm")?;
        sink.deliver(&message(2, Phase::Start)).map_err(text)?;
        sink.close();
        rig.shows(None, safe, "closed in an alarm")?;
    }
    Ok(())
}

fn is_made_safe(rig: &Output) -> Result<(), String> {
    for safe in [Level::High, Level::Low] {
        let stays = rig.settings(Level::High, safe)?.make_safe().map_err(text)?;
        if stays {
            rig.shows(None, safe, "made safe")?;
        } else if rig.spec()?.backend == Backend::Rppal {
            return Err("rppal lets go of the pin".to_string());
        }
    }
    Ok(())
}

fn each_press_is_told_once(rig: &Button) -> Result<(), String> {
    let contact = |to: &str| fs::write(&rig.contact, to).map_err(|e| format!("{e}"));
    contact(&rig.up)?;
    let mut button = gpio::Button::open(&rig.chip, rig.line).map_err(text)?;
    let patience = Duration::from_secs(10);
    thread::scope(|scope| {
        let hand = scope.spawn(|| -> Result<(), String> {
            for _ in 0..3 {
                // Contacts bounce, and are held for longer than they bounce.
                for to in [&rig.down, &rig.up, &rig.down, &rig.up, &rig.down] {
                    contact(to)?;
                }
                thread::sleep(Duration::from_millis(300));
                contact(&rig.up)?;
                thread::sleep(Duration::from_millis(300));
            }
            Ok(())
        });
        let mut presses = 0;
        while presses < 3 && button.pressed(patience).map_err(text)? {
            presses += 1;
        }
        hand.join().map_err(|_| "the hand failed".to_string())??;
        if presses < 3 {
            return Err(format!("{presses} presses of 3"));
        }
        match button.pressed(Duration::from_millis(500)).map_err(text)? {
            true => Err("a press that nobody made".to_string()),
            false => Ok(()),
        }
    })
}
