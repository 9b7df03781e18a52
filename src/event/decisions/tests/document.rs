//! What docs/events.md shows is what happens.

use super::*;

const DOCUMENT: &str = include_str!("../../../../docs/events.md");

/// The blocks of the document that are fenced with this word.
fn blocks(word: &str) -> Vec<&'static str> {
    let open = format!("```{word}\n");
    let mut blocks = Vec::new();
    let mut rest = DOCUMENT;
    while let Some(start) = rest.find(&open) {
        let body = &rest[start + open.len()..];
        let end = body.find("```").expect("a block without an end");
        blocks.push(&body[..end]);
        rest = &body[end + 3..];
    }
    blocks
}

#[test]
fn the_messages_of_the_document_are_messages() {
    let mut kinds = Vec::new();
    for block in blocks("json") {
        let message: Message = serde_json::from_str(block).expect(block);
        let shown: serde_json::Value = serde_json::from_str(block).unwrap();
        assert_eq!(serde_json::to_value(&message).unwrap(), shown);
        kinds.push((shown["kind"].as_str().unwrap().to_string(), message.phase));
        for key in shown.as_object().unwrap().keys() {
            assert!(DOCUMENT.contains(&format!("| `{key}` |")), "{key} is not in the table");
        }
    }
    let of =
        |kind: &str| kinds.iter().filter(|(k, _)| k == kind).map(|(_, p)| *p).collect::<Vec<_>>();
    assert_eq!(of("unusual"), [Start, Update, End]);
    assert_eq!((of("camera_fault"), of("drift")), (vec![Start], vec![Start]));
}

/// Plays a line of frames, one a second, and draws what comes of them.
fn draw(alarm: &AlarmSettings, frames: &str) -> String {
    let mut decisions = decisions(alarm.clone());
    let (mut state, mut told) = (Vec::new(), String::new());
    let mut ready_s = 0;
    for (second, frame) in (0..).zip(frames.chars()) {
        let p_value = match frame {
            'x' => 0.01,
            '-' => 0.1,
            _ => 0.7,
        };
        if frame == '*' {
            decisions.light_jumped(at(second * 1000));
        }
        let said = decisions.scored(0, &[verdict(p_value)], at(second * 1000), machine());
        let held = decisions.is_held(second * 1000);
        state.push(match () {
            () if decisions.event(0).is_some() || !said.is_empty() => '=',
            () if held => 'h',
            () if second < ready_s => 'c',
            () => ' ',
        });
        told.push(said.first().map_or(' ', |message| {
            let (mark, first) = match message.phase {
                Start => ('S', message.started_ms / 1000),
                Update => ('U', second),
                End => ('E', second),
            };
            state[first as usize..].fill('=');
            if message.is_alarm() { mark } else { mark.to_ascii_lowercase() }
        }));
        if said.iter().any(|message| message.phase == End) {
            ready_s = second + alarm.cooldown_s;
        }
    }
    let tens: String = (0..frames.len().div_ceil(10)).map(|i| format!("{:<10}", i * 10)).collect();
    let state: String = state.into_iter().collect();
    let rows = [("second", &tens[..]), ("frame", frames), ("event", &state), ("told", &told)];
    rows.map(|(name, row)| format!("{}\n", format!("{name:<9}{row}").trim_end())).concat()
}

#[test]
fn the_timelines_of_the_document_are_what_happens() {
    let first = AlarmSettings {
        clear_frames: 3,
        min_s: 5.0,
        cooldown_s: 10,
        update_s: 6,
        light_holdoff_s: 8,
        ..AlarmSettings::default()
    };
    let second = AlarmSettings { budget_per_day: 2, cooldown_s: 4, ..first.clone() };
    let drawn = [
        draw(&first, "..x....x.xx-x.-..-.....xxxx...xx.x...............*xxxxxxxxxx.-....."),
        draw(&second, "xxx.........xxx.........xxxxxxxxx......"),
    ];
    let shown = blocks("timeline");
    assert_eq!(shown.len(), drawn.len());
    for (shown, drawn) in shown.iter().zip(&drawn) {
        assert_eq!(shown, drawn, "shown:\n{shown}drawn:\n{drawn}");
    }
}
