use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::image::decode;
use crate::random::Random;

const FILES: [&str; 5] = [
    "baseline-420.jpg",
    "baseline-422-restart.jpg",
    "exif-orientation-6.jpg",
    "grey.jpg",
    "progressive-444-restart.jpg",
];

fn file(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/image");
    std::fs::read(folder.join(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

/// All pieces of a stream that is pushed in chunks of these lengths, over and over; the end is one too.
fn pieces_of(stream: &[u8], chunks: &[usize], mut splitter: Splitter) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let (mut rest, mut lengths) = (stream, chunks.iter().cycle());
    while !rest.is_empty() {
        let (chunk, behind) = rest.split_at((*lengths.next().unwrap()).clamp(1, rest.len()));
        splitter.push(chunk);
        while let Some(piece) = splitter.next_piece() {
            pieces.push(piece);
        }
        assert!(splitter.held.len() <= splitter.most + chunk.len(), "what is held has no bound");
        rest = behind;
    }
    splitter.end();
    pieces.extend(std::iter::from_fn(|| splitter.next_piece()));
    assert_eq!(splitter.unfinished_bytes(), 0);
    pieces
}

fn pieces(stream: &[u8]) -> Vec<Piece> {
    pieces_of(stream, &[stream.len()], Splitter::new())
}

fn jpegs(pieces: Vec<Piece>) -> Vec<Vec<u8>> {
    let jpeg = |piece| if let Piece::Jpeg(bytes) = piece { Some(bytes) } else { None };
    pieces.into_iter().filter_map(jpeg).collect()
}

fn cut(bytes: usize, by: CutBy) -> Piece {
    Piece::Cut { bytes, by }
}

#[test]
fn files_are_found_whatever_stands_between_them_and_however_they_arrive() {
    let files: Vec<Vec<u8>> = FILES.iter().map(|name| file(name)).collect();
    let gaps: [&[u8]; 4] = [
        b"",
        b"\r\n--boundary\r\nContent-Type: image/jpeg\r\nContent-Length: 977\r\n\r\n",
        &[0; 4096],
        b"\xff\xff\xd8\xd8\xff\x00\xff\xd9\xff\xff",
    ];
    for gap in gaps {
        let stream: Vec<u8> = files.iter().flat_map(|file| [gap, file].concat()).collect();
        for chunk in [1, 2, 7, 512, 65_536] {
            let found = pieces_of(&stream, &[chunk], Splitter::new());
            let expected: Vec<Piece> = files.iter().cloned().map(Piece::Jpeg).collect();
            assert!(found == expected, "gap {gap:?}, chunks of {chunk}");
        }
    }
}

#[test]
fn a_file_is_given_with_its_last_byte() {
    let whole = file("baseline-420.jpg");
    let mut splitter = Splitter::new();
    splitter.push(&whole[..whole.len() - 1]);
    assert_eq!(splitter.next_piece(), None);
    splitter.push(&whole[whole.len() - 1..]);
    assert_eq!(splitter.next_piece(), Some(Piece::Jpeg(whole)));
    splitter.end();
    assert_eq!((splitter.unfinished_bytes(), splitter.next_piece()), (0, None));
}

#[test]
fn a_thumbnail_does_not_end_its_file() {
    let (whole, thumbnail) = (file("baseline-420.jpg"), file("grey.jpg"));
    let length = u16::try_from(thumbnail.len() + 2).unwrap().to_be_bytes();
    let with = [&whole[..2], b"\xff\xe1", &length, &thumbnail, &whole[2..]].concat();
    assert_eq!(pieces(&with.repeat(3)), vec![Piece::Jpeg(with.clone()); 3]);
    assert_eq!(decode(&with), decode(&whole));
}

/// A camera that loses the end of a picture costs that picture, never the next one; but one that cuts it in the middle of
/// EXIF data costs the next one too, since that could be a thumbnail.
#[test]
fn a_file_cut_anywhere_is_reported_and_the_next_one_is_whole() {
    for (name, next) in FILES.iter().zip(FILES.iter().rev()) {
        let (whole, next) = (file(name), file(next));
        let picture = decode(&next).unwrap();
        let exif = whole.windows(2).position(|pair| pair == [0xff, 0xe1]).map_or(0..0, |at| {
            let length = u16::from_be_bytes([whole[at + 2], whole[at + 3]]);
            at + 3..at + 2 + usize::from(length)
        });
        let mut merged = 0;
        for length in 3..whole.len() {
            let stream = [&whole[..length], &next, &next].concat();
            let found = pieces(&stream);
            assert!(found == pieces_of(&stream, &[1], Splitter::new()), "{name} cut at {length}");
            let lost = usize::from(exif.contains(&length));
            match &found[0] {
                Piece::Cut { .. } => assert!(found.len() == 3 - lost, "{name} cut at {length}"),
                // The rest of a segment is gone, and what takes its place ends before a marker of the next file.
                Piece::Jpeg(file) => {
                    // Two halves of EXIF data may turn it.
                    let judged = decode(file).map_or(true, |it| it == picture || lost > 0);
                    assert!(judged, "{name} cut at {length}");
                    merged += 1;
                }
                Piece::Garbage { .. } => panic!("{name} cut at {length}"),
            }
            assert!(
                found[1..].iter().all(|it| *it == Piece::Jpeg(next.clone())),
                "{name} cut at {length}"
            );
        }
        // In these small files every second byte belongs to a header; in a camera's, one in a hundred.
        assert!(merged * 6 < whole.len(), "{name}: {merged} of {}", whole.len());
    }
}

#[test]
fn a_thumbnail_of_a_cut_file_is_no_file() {
    let (whole, thumbnail) = (file("baseline-420.jpg"), file("grey.jpg"));
    let with = [&whole[..2], b"\xff\xe1\x40\x00", &thumbnail, &[0x20; 2000]].concat();
    assert_eq!(pieces(&with), [cut(with.len(), CutBy::End)]);
    let found = pieces(&[&with[..], &[0x20; 16_384], &whole, &whole].concat());
    assert!(matches!(found[0], Piece::Cut { by: CutBy::Damage, .. }));
    assert!(found[1..] == [Piece::Jpeg(whole.clone()), Piece::Jpeg(whole)]);
}

#[test]
fn a_cut_file_says_why() {
    let whole = file("grey.jpg");
    let [half, _] = [&whole[..400], &whole[400..]];
    let long = CutBy::Length;
    assert_eq!(pieces(half), [cut(400, CutBy::End)]);
    assert_eq!(pieces(&[half, &whole].concat())[0], cut(400, CutBy::NextFile));
    assert_eq!(pieces(b"\xff\xd8\xff\x00whatever")[0], cut(2, CutBy::Damage));
    assert_eq!(pieces(b"\xff\xd8\xff\xe0\x00\x01whatever")[0], cut(2, CutBy::Damage));
    let endless = [half, &[0x55; 2000], &whole].concat();
    let found = pieces_of(&endless, &[100], Splitter::with_limit(1000));
    assert_eq!(found, [cut(1100, long), Piece::Jpeg(whole)]);
    for by in [CutBy::NextFile, CutBy::Damage, CutBy::Length, CutBy::End] {
        assert!(by.to_string().len() > 10);
    }
}

#[test]
fn damaged_picture_data_stay_one_file() {
    let whole = file("baseline-444.jpg");
    let data = whole.windows(2).position(|pair| pair == [0xff, 0xda]).unwrap() + 14;
    // A wrong table, a start marker that starts nothing, a marker that has no place there.
    for damage in [[0xff, 0xc4], [0xff, 0xdb], [0xff, 0xd8], [0xff, 0xc0], [0xff, 0x01]] {
        let mut broken = whole.clone();
        broken[data + 100..data + 102].copy_from_slice(&damage);
        broken[data + 102] = 0x12;
        let stream = [&broken[..], &whole, &whole].concat();
        let found = jpegs(pieces(&[&stream, &[0; 70_000][..]].concat()));
        assert!(found == [broken.clone(), whole.clone(), whole.clone()], "{damage:02x?}");
    }
}

#[test]
fn a_stream_of_something_else_is_reported_now_and_then() {
    let stream = [b"\0\0\0\x01\x67".to_vec(), vec![0x41; 1 << 20]].concat();
    let found = pieces_of(&stream, &[4096], Splitter::new());
    assert_eq!(found.len(), 4);
    for piece in &found {
        assert!(matches!(piece, Piece::Garbage { bytes, .. } if *bytes >= GARBAGE_BYTES));
    }
    let Piece::Garbage { head, .. } = &found[0] else { panic!("{:?}", found[0]) };
    assert_eq!(head, b"\0\0\0\x01\x67AAAAAAAAAAA");
}

#[test]
fn unfinished_files_are_known() {
    let whole = file("exif-orientation-6.jpg");
    assert!(!is_unfinished(&whole) && !is_unfinished(&[&whole[..], b"rest"].concat()));
    for length in 1..whole.len() {
        assert!(is_unfinished(&whole[..length]), "{length}");
    }
    for other in [&b""[..], b"x", b"\xff\xd8\xff\x00", b"\x89PNG\r\n\x1a\n"] {
        assert!(!is_unfinished(other), "{other:?}");
    }
}

/// Streams in which everything that a splitter follows is there, in the wrong places.
fn hostile(random: &mut Random, files: &[Vec<u8>]) -> Vec<u8> {
    let mut stream = Vec::new();
    for _ in 0..random.below(24) {
        match random.below(10) {
            0 => stream.extend([0xff, 0xd8, 0xff]),
            1 => stream.extend([0xff, 0xd9]),
            2 => stream.extend([0xff, 0xd0 + random.below(8) as u8]),
            3 => stream.extend(std::iter::repeat_n(0xff, random.below(100) as usize)),
            4 => stream.extend([0xff, 0xda, 0, random.below(20) as u8]),
            5 => {
                let code = random.next_u64() as u8;
                let bits = random.below(17);
                let length = random.below(1 << bits) as u16;
                stream.extend([0xff, code]);
                stream.extend(length.to_be_bytes());
            }
            6 | 7 => {
                let file = &files[random.below(files.len() as u64) as usize];
                let from = random.below(file.len() as u64) as usize;
                let to = from + random.below((file.len() - from) as u64 + 1) as usize;
                stream.extend(&file[from..to]);
            }
            _ => stream.extend((0..random.below(60)).map(|_| random.next_u64() as u8)),
        }
    }
    stream
}

#[test]
fn a_hundred_thousand_hostile_streams_are_cut_into_what_they_hold() {
    let files: Vec<Vec<u8>> = FILES.iter().map(|name| file(name)).collect();
    let mut random = Random::new(20_261_126);
    let mut found = [0u64; 3];
    for _ in 0..100_000 {
        let stream = hostile(&mut random, &files);
        let chunks: [usize; 3] = std::array::from_fn(|_| 1 + random.below(300) as usize);
        let pieces = pieces_of(&stream, &chunks, Splitter::with_limit(4000));
        let mut rest = &stream[..];
        for piece in pieces {
            match piece {
                Piece::Jpeg(bytes) => {
                    assert!(
                        bytes.starts_with(&[0xff, 0xd8, 0xff]) && bytes.ends_with(&[0xff, 0xd9])
                    );
                    // Each lies in the stream, behind the last one.
                    let at = rest.windows(bytes.len()).position(|window| window == bytes);
                    rest = &rest[at.expect("a file that was not in the stream") + bytes.len()..];
                    found[0] += 1;
                }
                Piece::Cut { bytes, .. } => {
                    assert!((2..=stream.len()).contains(&bytes));
                    found[1] += 1;
                }
                Piece::Garbage { bytes, .. } => {
                    assert!(bytes <= stream.len() as u64);
                    found[2] += 1;
                }
            }
        }
    }
    assert!(found[0] > 10_000 && found[1] > 80_000, "{found:?} reach what lies behind the search");
}

/// Each pattern makes a splitter that goes back too far, or looks twice at the same bytes, take hours.
#[test]
fn no_stream_costs_more_than_linear_time() {
    // Segments one inside of the other that all end at the same place.
    let landing = |unit: &[u8]| -> Vec<u8> {
        let bytes = unit.len() + 2;
        let starts = (0..60_000).step_by(bytes);
        starts
            .flat_map(|at| [unit, &((60_000 - at - unit.len()) as u16).to_be_bytes()].concat())
            .collect()
    };
    let in_header = landing(b"\xff\xd8\xff\xe0");
    let in_data = [&b"\xff\xd8\xff\xda\x00\x02"[..], &landing(b"\xff\xe0")].concat();
    let chain = |tail: &[u8]| {
        let nested = b"\xff\xe0\x00\x05\xff\xd8\xff".repeat(1 << 20);
        [b"\xff\xd8", &nested[..], tail].concat()
    };
    let run = |head: &[u8], part: &[u8], tail: &[u8]| {
        [head, &part.repeat((8 << 20) / part.len()), tail].concat()
    };
    for (name, stream) in [
        ("files in segments, then damage", chain(b"\0\0\0\0")),
        ("files in segments, then an end", chain(b"\xff\xd9")),
        ("one landing, then fill", run(&in_header, b"\xff", b"\0")),
        ("one landing, then restarts", run(&in_header, b"\xff\xd0", b"\0\0\0\0")),
        ("one landing, then segments", run(&in_header, b"\xff\xe0\0\x02", b"\0\0\0\0")),
        ("in data, one landing, then fill", run(&in_data, b"\xff", b"\0")),
        ("in data, one landing, then restarts", run(&in_data, b"\xff\xd0", b"\0\0\0\0")),
        ("in data, one landing, then segments", run(&in_data, b"\xff\xe0\0\x02", b"\0\0\0\0")),
        ("long segments in data", run(b"\xff\xd8\xff\xda\0\x02", b"\xff\xc4\xff\xff", b"")),
        ("long segments in a header", run(b"", b"\xff\xd8\xff\xe0\xff\xff", b"")),
        ("starts", run(b"", b"\xff\xd8\xff", b"")),
        ("empty files", run(b"", b"\xff\xd8\xff\xd9", b"")),
        ("an endless file", run(&in_data[..6], b"\x55", b"")),
    ] {
        let found = pieces_of(&stream, &[READ], Splitter::new());
        let bytes: usize = jpegs(found).iter().map(Vec::len).sum();
        assert!(bytes <= stream.len(), "{name}");
    }
}

const READ: usize = 64 << 10;

fn altered_file() -> impl Strategy<Value = Vec<u8>> {
    let edits = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3), 0..5);
    (prop::sample::select(&FILES[..]), edits).prop_map(|(name, edits)| {
        let mut bytes = file(name);
        for (at, value, edit) in edits {
            let at = 3 + at.index(bytes.len() - 3);
            match edit {
                0 => bytes[at] = value,
                1 => bytes.insert(at, value),
                _ => drop(bytes.drain(at..(at + usize::from(value) % 32 + 1).min(bytes.len()))),
            }
        }
        bytes
    })
}

proptest! {
    /// The splitter never takes away what the decoder would have read.
    #[test]
    fn what_can_be_decoded_is_found(bytes in altered_file(), before in 0usize..10, after: bool) {
        if let Ok(picture) = decode(&bytes) {
            let next = if after { file("grey.jpg") } else { Vec::new() };
            let stream = [&vec![0; before], &bytes[..], &next].concat();
            let found = jpegs(pieces(&stream));
            prop_assert_eq!(decode(&found[0]).unwrap(), picture);
        }
    }

    #[test]
    fn chunks_change_nothing(
        parts in prop::collection::vec(altered_file(), 1..5),
        chunks in prop::collection::vec(1usize..2000, 1..6),
    ) {
        let stream = parts.concat();
        prop_assert_eq!(pieces_of(&stream, &chunks, Splitter::new()), pieces(&stream));
    }
}
