//! Trials of a V4L2 camera.

use std::time::Duration;

use oddsight::camera::v4l2::{Device, V4l2Camera};
use oddsight::camera::{
    CameraError, CameraErrorKind, Frame, FrameSource as _, Next, PixelFormat, V4l2Spec,
};

use crate::rig::{Camera, Planned, Rig, Run, part, trial};

/// Long enough for any camera, also on an emulated board; it guards against hanging and measures nothing.
const PATIENCE: Duration = Duration::from_secs(20);

pub fn plan(rig: Option<&Rig>) -> Vec<Planned> {
    let camera = || part(rig, "camera", |rig| rig.camera.as_ref());
    let with = |what: &str, has: fn(&Camera) -> bool| {
        camera().and_then(|it| if has(&it) { Ok(it) } else { Err(format!("no `{what}`")) })
    };
    let mut trials = vec![
        trial("camera::is_there", camera(), is_there),
        trial("camera::auto_gives_pictures", camera(), auto_gives_pictures),
        trial("camera::refuses_other_sizes", camera(), refuses_other_sizes),
        trial("camera::keeps_to_its_rate", camera(), keeps_to_its_rate),
        trial("camera::refuses_other_rates", camera(), refuses_other_rates),
        trial("camera::is_one_programs", camera(), is_one_programs),
        trial("camera::opens_again_and_again", camera(), opens_again_and_again),
        trial("camera::gives_the_newest", camera(), gives_the_newest),
        trial("camera::is_late_in_time", camera(), is_late_in_time),
        trial("camera::colours_agree", with("bars", |it| it.bars), colours_agree),
        trial("camera::damage_passes", with("damage", |it| it.damage.is_some()), damage_passes),
        trial(
            "camera::silence_is_late",
            with("silence", |it| it.silence.is_some()),
            silence_is_late,
        ),
        trial("camera::failure_is_loss", with("fail", |it| it.fail.is_some()), failure_is_loss),
        trial("camera::unplugged_and_back", with("unplug", |it| it.unplug.is_some()), unplugged),
    ];
    match camera() {
        Ok(camera) => trials.extend(camera.formats.iter().map(|format| {
            let (camera, wanted) = (camera.clone(), format.clone());
            let run: Run = Box::new(move || gives(&camera, &wanted));
            (format!("camera::gives_{format}"), Ok(run))
        })),
        Err(why) => trials.push(("camera::gives_each_format".to_string(), Err(why))),
    }
    trials
}

impl Camera {
    fn spec(&self) -> V4l2Spec {
        let size = Some(self.size);
        V4l2Spec { path: self.device.clone(), size, format: None, fps: None }
    }

    fn open(&self) -> Result<V4l2Camera, String> {
        V4l2Camera::open(&self.spec()).map_err(|e| e.to_string())
    }

    /// Sets one of the controls that make trouble.
    fn set(&self, control: Option<&String>, value: i64) -> Result<(), String> {
        let name = control.ok_or("no such control in the rig")?;
        let device = Device::open(&self.device).map_err(|e| e.to_string())?;
        device.set_control(name, value).map_err(|e| e.to_string())
    }

    fn press(&self, control: Option<&String>) -> Result<(), String> {
        self.set(control, 1)
    }
}

fn format(name: &str) -> Result<PixelFormat, String> {
    match name {
        "mjpeg" => Ok(PixelFormat::Mjpeg),
        raw => raw.parse().map(PixelFormat::Raw).map_err(|e: CameraError| e.to_string()),
    }
}

/// The next frame that is none of those that may pass.
fn next(camera: &mut V4l2Camera) -> Result<Frame, String> {
    match camera.next_frame(PATIENCE) {
        Ok(Next::Frame(frame)) => Ok(frame),
        Ok(other) => Err(format!("no frame but {other:?}")),
        Err(e) => Err(e.to_string()),
    }
}

/// The driver's number of a frame.
fn number(frame: &Frame) -> Result<u64, String> {
    let (_, number) = frame.name.rsplit_once('#').ok_or("no number in the frame's name")?;
    number.parse().map_err(|_| format!("`{number}` is no number"))
}

fn expect(condition: bool, what: impl FnOnce() -> String) -> Result<(), String> {
    if condition { Ok(()) } else { Err(what()) }
}

fn refusal(spec: &V4l2Spec) -> Result<String, String> {
    match V4l2Camera::open(spec) {
        Ok(camera) => Err(format!("{:?} was agreed on", camera.agreed())),
        Err(e) if e.kind() == CameraErrorKind::Refused => Ok(e.to_string()),
        Err(e) => Err(format!("another error: {e}")),
    }
}

fn is_there(rig: &Camera) -> Result<(), String> {
    let device = Device::open(&rig.device).map_err(|e| e.to_string())?;
    let identity = device.identity().map_err(|e| e.to_string())?;
    expect(identity.captures, || identity.unusable.to_string())?;
    let offers = device.offers();
    expect(!offers.is_empty(), || "it offers no format".to_string())
}

fn gives(rig: &Camera, name: &str) -> Result<(), String> {
    let format = Some(format(name)?);
    let mut camera =
        V4l2Camera::open(&V4l2Spec { format, ..rig.spec() }).map_err(|e| e.to_string())?;
    for seq in 0..5 {
        let frame = next(&mut camera)?;
        let picture = frame.picture().map_err(|e| e.to_string())?;
        expect((picture.width, picture.height) == rig.size, || {
            format!("{}x{}", picture.width, picture.height)
        })?;
        expect(frame.seq == seq, || format!("frame {} in place of {seq}", frame.seq))?;
        let (least, most) = (picture.pixels.iter().min(), picture.pixels.iter().max());
        expect(least < most, || "a picture of one colour".to_string())?;
    }
    Ok(())
}

fn auto_gives_pictures(rig: &Camera) -> Result<(), String> {
    let spec = V4l2Spec { size: None, ..rig.spec() };
    let mut camera = V4l2Camera::open(&spec).map_err(|e| e.to_string())?;
    next(&mut camera)?.picture().map_err(|e| e.to_string())?;
    Ok(())
}

fn refuses_other_sizes(rig: &Camera) -> Result<(), String> {
    let (width, height) = rig.size;
    let why = refusal(&V4l2Spec { size: Some((width + 1, height + 1)), ..rig.spec() })?;
    let offered = format!("{width}x{height}");
    expect(why.contains(&offered), || format!("it does not name {offered}: {why}"))
}

fn keeps_to_its_rate(rig: &Camera) -> Result<(), String> {
    let spec = V4l2Spec { fps: Some(rig.fps), ..rig.spec() };
    let mut camera = V4l2Camera::open(&spec).map_err(|e| e.to_string())?;
    let fps = camera.agreed().fps.unwrap_or(0.0);
    expect((fps - f64::from(rig.fps)).abs() < 0.5, || format!("{fps} fps were agreed on"))?;
    next(&mut camera).map(drop)
}

fn refuses_other_rates(rig: &Camera) -> Result<(), String> {
    let why = refusal(&V4l2Spec { fps: Some(rig.not_fps), ..rig.spec() })?;
    expect(why.contains("it offers"), || format!("it does not say what it offers: {why}"))
}

fn is_one_programs(rig: &Camera) -> Result<(), String> {
    let mut first = rig.open()?;
    next(&mut first)?;
    let why = match V4l2Camera::open(&rig.spec()) {
        Ok(_) => return Err("two streams of one camera".to_string()),
        Err(e) => e,
    };
    expect(why.to_string().contains("another program uses the camera"), || why.to_string())?;
    next(&mut first).map(drop)
}

fn opens_again_and_again(rig: &Camera) -> Result<(), String> {
    for _ in 0..20 {
        next(&mut rig.open()?)?;
    }
    Ok(())
}

/// While nobody asks, all buffers fill with what is old by the time that somebody does.
fn gives_the_newest(rig: &Camera) -> Result<(), String> {
    let spec = V4l2Spec { fps: Some(rig.fps), ..rig.spec() };
    let mut camera = V4l2Camera::open(&spec).map_err(|e| e.to_string())?;
    let before = number(&next(&mut camera)?)?;
    std::thread::sleep(Duration::from_millis(20_000 / u64::from(rig.fps)));
    let after = number(&next(&mut camera)?)?;
    // As many buffers as there are at most.
    expect(after > before + 8, || format!("frame {after} right after frame {before}"))?;
    let dropped = camera.dropped();
    expect(dropped >= after - before - 1, || format!("only {dropped} dropped frames were counted"))
}

fn is_late_in_time(rig: &Camera) -> Result<(), String> {
    let mut camera = rig.open()?;
    next(&mut camera)?;
    for _ in 0..100 {
        match camera.next_frame(Duration::ZERO) {
            Ok(Next::Late) => return next(&mut camera).map(drop),
            Ok(Next::Frame(_)) => continue,
            other => return Err(format!("{other:?}")),
        }
    }
    Err("it had a frame ready each time".to_string())
}

/// The formats differ in where chroma is sampled and in rounding, not in colour.
fn colours_agree(rig: &Camera) -> Result<(), String> {
    let mut means: Vec<(String, [f64; 3])> = Vec::new();
    for name in rig.formats.iter().filter(|name| *name != "grey") {
        let format = Some(format(name)?);
        let spec = V4l2Spec { format, ..rig.spec() };
        let mut camera = V4l2Camera::open(&spec).map_err(|e| e.to_string())?;
        let frame = next(&mut camera)?;
        let picture = frame.picture().map_err(|e| e.to_string())?;
        let mut sums = [0.0; 3];
        for pixel in picture.pixels.chunks_exact(3) {
            for (sum, sample) in sums.iter_mut().zip(pixel) {
                *sum += f64::from(*sample);
            }
        }
        let count = (picture.pixels.len() / 3) as f64;
        means.push((name.clone(), sums.map(|sum| sum / count)));
    }
    let (_, first) = means.first().ok_or("no format with colours")?;
    for (name, mean) in &means {
        let far = mean.iter().zip(first).any(|(a, b)| (a - b).abs() > 3.0);
        expect(!far, || format!("{name} has another colour: {means:.1?}"))?;
    }
    Ok(())
}

fn damage_passes(rig: &Camera) -> Result<(), String> {
    let mut camera = rig.open()?;
    next(&mut camera)?;
    for attempt in 0..50 {
        // A damaged frame that is not the newest any more is dropped like any other, so the next one gets it.
        if attempt % 5 == 0 {
            rig.press(rig.damage.as_ref())?;
        }
        match camera.next_frame(PATIENCE) {
            Ok(Next::Frame(_)) => {}
            Err(e) if e.kind() == CameraErrorKind::Picture => return next(&mut camera).map(drop),
            other => return Err(format!("{other:?}")),
        }
    }
    Err("no frame was marked as damaged".to_string())
}

/// A camera that gives nothing costs its deadline, and no more than that.
fn silence_is_late(rig: &Camera) -> Result<(), String> {
    let mut camera = rig.open()?;
    next(&mut camera)?;
    rig.set(rig.silence.as_ref(), 100)?;
    let mut late = false;
    for _ in 0..50 {
        match camera.next_frame(Duration::from_secs(1)) {
            Ok(Next::Late) => late = true,
            Ok(Next::Frame(_)) => continue,
            other => return Err(format!("{other:?}")),
        }
        break;
    }
    rig.set(rig.silence.as_ref(), 0)?;
    expect(late, || "frames kept coming".to_string())?;
    next(&mut camera).map(drop)
}

/// Takes frames until the camera is lost, and gives the last words.
fn until_lost(camera: &mut V4l2Camera) -> Result<String, String> {
    for _ in 0..50 {
        match camera.next_frame(PATIENCE) {
            Ok(Next::Frame(_)) => {}
            Err(e) if e.is_passing() => {}
            Err(e) if e.kind() == CameraErrorKind::Lost => return Ok(e.to_string()),
            other => return Err(format!("{other:?}")),
        }
    }
    Err("the camera goes on as if nothing had happened".to_string())
}

fn failure_is_loss(rig: &Camera) -> Result<(), String> {
    let mut camera = rig.open()?;
    next(&mut camera)?;
    rig.press(rig.fail.as_ref())?;
    until_lost(&mut camera)?;
    drop(camera);
    next(&mut rig.open()?).map(drop)
}

fn unplugged(rig: &Camera) -> Result<(), String> {
    for _ in 0..3 {
        let mut camera = rig.open()?;
        next(&mut camera)?;
        rig.press(rig.unplug.as_ref())?;
        let last_words = until_lost(&mut camera)?;
        expect(last_words.contains("the camera is gone"), || last_words.clone())?;
        let again = camera.next_frame(PATIENCE);
        expect(again.is_err(), || "a lost camera gave a frame".to_string())?;
        match V4l2Camera::open(&rig.spec()) {
            Ok(_) => return Err("it can be opened while it is away".to_string()),
            Err(e) if e.kind() == CameraErrorKind::Missing => {}
            Err(e) => return Err(format!("another error while it is away: {e}")),
        }
        drop(camera);
        next(&mut rig.open()?)?;
    }
    Ok(())
}
