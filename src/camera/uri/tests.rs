use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::camera::Next;
use crate::random::Random;

fn parse(text: &str) -> SourceUri {
    text.parse().unwrap_or_else(|e| panic!("{text}: {e}"))
}

fn refusal(text: &str) -> String {
    let e = text.parse::<SourceUri>().expect_err(text);
    assert_eq!(e.kind(), CameraErrorKind::Spec, "{text}");
    e.to_string()
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(ToString::to_string).collect()
}

#[test]
fn cameras_of_the_kernel() {
    let path =
        "/dev/v4l/by-path/platform-fd500000.pcie-pci-0000:01:00.0-usb-0:1.3:1.0-video-index0";
    let bare = V4l2Spec { path: path.into(), size: None, format: None, fps: None };
    assert_eq!(parse(&format!("v4l2:{path}")), SourceUri::V4l2(bare.clone()));
    assert_eq!(parse(&format!("v4l2:{path}?format=auto")), SourceUri::V4l2(bare.clone()));
    let full = V4l2Spec {
        size: Some((640, 480)),
        format: Some(PixelFormat::Raw(RawFormat::Nv12)),
        fps: Some(10),
        ..bare
    };
    let text = format!("v4l2:{path}?size=640x480&format=nv12&fps=10");
    assert_eq!(parse(&text), SourceUri::V4l2(full.clone()));
    assert_eq!(SourceUri::V4l2(full).to_string(), text);
}

#[test]
fn programs_and_standard_input() {
    let mjpeg = Framing::Mjpeg;
    let raw = Framing::Raw { format: RawFormat::Bgr3, width: 320, height: 240 };
    let rpicam = words(&["rpicam-vid", "-t", "0", "--codec", "mjpeg", "-o", "-"]);
    for (text, framing, command) in [
        ("pipe:rpicam-vid -t 0 --codec mjpeg -o -", mjpeg, rpicam.clone()),
        ("pipe:  rpicam-vid  -t\t0 --codec 'mjpeg' \n -o \"-\" ", mjpeg, rpicam),
        ("pipe+raw:bgr3:320x240:cam a:b", raw, words(&["cam", "a:b"])),
        ("pipe:a 'b c' \"d \\\" \\$e\" f\\ g '' h\"i\"'j'", mjpeg, {
            words(&["a", "b c", "d \" \\$e", "f g", "", "hij"])
        }),
        ("pipe:gst-launch-1.0 v4l2src ! jpegenc ! fdsink", mjpeg, {
            words(&["gst-launch-1.0", "v4l2src", "!", "jpegenc", "!", "fdsink"])
        }),
        ("pipe:curl -sN http://cam/video?user=a&res=1;2|3", mjpeg, {
            words(&["curl", "-sN", "http://cam/video?user=a&res=1;2|3"])
        }),
        ("pipe:sh -c 'cat a | cat >&2' '|'", mjpeg, {
            words(&["sh", "-c", "cat a | cat >&2", "|"])
        }),
    ] {
        assert_eq!(parse(text), SourceUri::Pipe { framing, command }, "{text}");
    }
    assert_eq!(parse("stdin:"), SourceUri::Stdin(mjpeg));
    assert_eq!(parse("stdin+raw:bgr3:320x240"), SourceUri::Stdin(raw));
}

#[test]
fn stored_and_drawn_pictures() {
    let dir = |path: &str, once| SourceUri::Dir { path: path.into(), once };
    for (text, source) in [
        ("dir:a:b", dir("a:b", false)),
        ("dir:/srv/in?once", dir("/srv/in", true)),
        ("dir:what?once?", dir("what?once", false)),
        ("dir:what??once", dir("what?", true)),
        ("tar:a?b.tar", SourceUri::Tar("a?b.tar".into())),
        ("synth:7", SourceUri::Synth { seed: 7, fps: None }),
        ("synth:7?fps=10", SourceUri::Synth { seed: 7, fps: Some(10) }),
    ] {
        assert_eq!(parse(text), source);
        assert_eq!(source.to_string(), text);
    }
    assert_eq!(dir("x", false).once(), dir("x", true));
    let show = SourceUri::Synth { seed: 1, fps: None };
    assert_eq!(SourceUri::Synth { seed: 1, fps: Some(5) }.once(), show);
}

#[test]
fn what_is_wrong_is_explained() {
    for (text, remedy) in [
        ("", "v4l2:DEVICE, pipe:COMMAND, stdin:, dir:PATH, tar:FILE, synth:SEED"),
        ("camera0", "none of v4l2:DEVICE"),
        ("V4L2:/dev/video0", "none of v4l2:DEVICE"),
        ("dir:", "path is missing"),
        ("dir:?once", "path is missing"),
        ("dir:a\0b", "zero byte"),
        ("dir:a?twice", "ends with another one"),
        ("tar:", "path is missing"),
        ("v4l2:", "path is missing"),
        ("v4l2:/dev/video0?size=640", "size `640` is not WIDTHxHEIGHT"),
        ("v4l2:/dev/video0?size=640x+480", "is not WIDTHxHEIGHT"),
        ("v4l2:/dev/video0?size=0x480", "size `0x480`"),
        ("v4l2:/dev/video0?size=99999x99999", "beyond 1 to 32767"),
        ("v4l2:/dev/video0?size=641x480&format=yuyv", "even numbers"),
        ("v4l2:/dev/video0?fps=0", "from 1 to 1000"),
        ("v4l2:/dev/video0?fps=7.5", "from 1 to 1000"),
        ("v4l2:/dev/video0?format=h264", "auto, mjpeg, yuyv"),
        ("v4l2:/dev/video0?fps=1&fps=2", "given twice"),
        ("v4l2:/dev/video0?width=1", "size=WxH, format=NAME and fps=N"),
        ("v4l2:/dev/video0?once", "`once` is no option of v4l2:"),
        ("pipe:", "command is missing"),
        ("pipe: ", "command is missing"),
        ("pipe:''", "name of the program is empty"),
        ("pipe:a 'b", "single quote is not closed"),
        ("pipe:a \"b\\", "double quote is not closed"),
        ("pipe:a \\", "ends with a backslash"),
        ("pipe:a\0", "zero byte"),
        ("pipe:a | b", "sh -c"),
        ("pipe:a 2>/dev/null", "`2>/dev/null` would be an argument"),
        ("pipe:a && b", "sh -c"),
        ("pipe+raw:cam", "FORMAT:WIDTHxHEIGHT"),
        ("pipe+raw:rgb3:640x480", "and a command"),
        ("pipe+raw:rgb24:640x480:cam", "yuyv, nv12, rgb3, bgr3, grey"),
        ("pipe+raw:nv12:640x481:cam", "even numbers"),
        ("pipe+raw:rgb3:640x480:", "command is missing"),
        ("stdin:mjpeg", "stdin+raw:FORMAT:WxH"),
        ("stdin+raw:rgb3", "FORMAT:WIDTHxHEIGHT"),
        ("synth:x", "for example synth:1"),
        ("synth:", "for example synth:1"),
        ("synth:7:20", "write synth:7"),
        ("synth:7:", "write synth:7"),
    ] {
        let why = refusal(text);
        assert!(why.contains(remedy), "{why}");
    }
}

#[test]
fn messages_hold_no_password_and_no_novel() {
    let text = "pipe:ffmpeg -i rtsp://me:secret@cam/1 | cat";
    assert!(!refusal(text).contains("secret"), "{}", refusal(text));
    let good = parse("pipe:ffmpeg -i rtsp://me:secret@cam/1 -f mjpeg -");
    assert_eq!(good.for_log(), "pipe:ffmpeg -i rtsp://me:***@cam/1 -f mjpeg -");
    assert!(refusal(&"ä".repeat(1 << 20)).len() < 1000);
}

#[test]
fn sources_know_whether_silence_and_repetition_are_trouble() {
    for (text, live, finite) in [
        ("v4l2:/dev/video0", true, false),
        ("pipe:cam", true, false),
        ("stdin:", true, false),
        ("dir:x", false, false),
        ("dir:x?once", false, true),
        ("tar:x", false, true),
        ("synth:1", false, true),
    ] {
        let source = parse(text);
        assert_eq!((source.is_live(), source.is_finite()), (live, finite), "{text}");
    }
}

#[test]
fn a_source_is_opened() {
    let mut camera = parse("synth:1").open().unwrap();
    assert!(matches!(camera.next_frame(Duration::ZERO), Ok(Next::Frame(_))));
    for missing in ["dir:/no/such/folder", "dir:/no/such/folder?once", "tar:/no/such/file"] {
        let why = parse(missing).open().err().expect(missing);
        assert_eq!(why.kind(), CameraErrorKind::Missing, "{why}");
    }
}

/// Texts that are nearly sources.
fn hostile(random: &mut Random) -> String {
    const PARTS: [&str; 40] = [
        "v4l2:",
        "pipe:",
        "pipe+raw:",
        "stdin:",
        "stdin+raw:",
        "dir:",
        "tar:",
        "synth:",
        "?",
        "&",
        "=",
        ":",
        "size=",
        "format=",
        "fps=",
        "once",
        "640x480",
        "x",
        "4294967296",
        "-1",
        "mjpeg",
        "yuyv",
        "nv12",
        "'",
        "\"",
        "\\",
        " ",
        "\t",
        "\n",
        "\0",
        "|",
        ">",
        "/dev/video0",
        "ä",
        "\u{2028}",
        "😀",
        "://",
        "@",
        "cam",
        "",
    ];
    let count = random.below(12);
    (0..count)
        .map(|_| match random.below(20) {
            0 => char::from_u32(random.below(0x11_0000) as u32).unwrap_or('x').to_string(),
            1 => random.next_u64().to_string(),
            _ => PARTS[random.below(PARTS.len() as u64) as usize].to_string(),
        })
        .collect()
}

#[test]
fn a_hundred_thousand_hostile_texts_are_sources_or_errors() {
    let mut random = Random::new(20_261_126);
    let mut sources = 0;
    for _ in 0..100_000 {
        let text = hostile(&mut random);
        match text.parse::<SourceUri>() {
            Ok(source) => {
                sources += 1;
                let written = source.to_string();
                assert_eq!(
                    written.parse::<SourceUri>().ok(),
                    Some(source),
                    "{text:?} as {written:?}"
                );
            }
            Err(e) => assert!(e.to_string().len() < 2000, "{text:?}"),
        }
    }
    assert!(sources > 5_000, "only {sources} texts reach what lies behind the parser");
}

#[test]
fn long_texts_take_linear_time() {
    for part in ["'", "\\", "a ", "?", "&", "size=1x1&", "://a:b@", ":", "\"\\\"", "7"] {
        for scheme in [
            "v4l2:/x?",
            "pipe:",
            "pipe:>",
            "pipe+raw:",
            "dir:",
            "dir:/x?",
            "pipe+raw:rgb3:2x2:",
            "synth:",
            "v4l2:/x?fps=",
        ] {
            let text = scheme.to_owned() + &part.repeat(200_000);
            match text.parse::<SourceUri>() {
                Ok(source) => assert!(source.for_log().len() < 4 * text.len()),
                Err(e) => assert!(e.to_string().len() < 2000, "{scheme}{part}"),
            }
        }
    }
}

proptest! {
    #[test]
    fn commands_are_written_as_they_are_read(command in prop::collection::vec("[^\0]*", 1..6)) {
        let line = super::words::join(&command);
        prop_assert_eq!(super::words::split(&line).unwrap(), command, "{}", line);
    }

    #[test]
    fn sources_are_written_as_they_are_read(
        path in "[^\0]+", once: bool, size in prop::option::of((1u32..5000, 1u32..5000)),
        format in prop::option::of(0usize..6), fps in prop::option::of(1u32..=1000), seed: u64,
        command in prop::collection::vec("[^\0]+", 1..4),
    ) {
        let even = size.map(|(width, height)| (width * 2, height * 2));
        let format = format.map(|at| match RawFormat::ALL.get(at) {
            Some(&format) => PixelFormat::Raw(format),
            None => PixelFormat::Mjpeg,
        });
        let framing = match (format, even) {
            (Some(PixelFormat::Raw(format)), Some((width, height))) => Framing::Raw { format, width, height },
            _ => Framing::Mjpeg,
        };
        for source in [
            SourceUri::V4l2(V4l2Spec { path: path.clone().into(), size: even, format, fps }),
            SourceUri::Pipe { framing, command },
            SourceUri::Stdin(framing),
            SourceUri::Dir { path: path.clone().into(), once },
            SourceUri::Tar(path.into()),
            SourceUri::Synth { seed, fps: None },
        ] {
            let text = source.to_string();
            prop_assert_eq!(text.parse::<SourceUri>().unwrap(), source, "{}", text);
        }
    }
}
