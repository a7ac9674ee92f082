//! Section 6: text that is UTF-8, and text that is not. The sequences are those of Markus Kuhn's decoder test, which the suite
//! takes over: <https://www.cl.cam.ac.uk/~mgk25/ucs/examples/UTF-8-test.txt>.

use ondol_tests::Frame;

use super::{Case, OCTETS, more, unfinished};

/// "κόσμε".
const KOSME: &[u8] = b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5";

/// A text, a surrogate, which is no text, and another text.
pub(super) const SURROGATE: [&[u8]; 3] = [KOSME, b"\xed\xa0\x80", b"edited"];

/// The same with a number past U+10FFFF.
const PAST_THE_END: [&[u8]; 3] = [KOSME, b"\xf4\x90\x80\x80", b"edited"];

/// Sequences under their heads in the suite, which number them from 6.5. A text is valid where it is UTF-8, as Rust has it.
#[rustfmt::skip]
const SEQUENCES: [&[&[u8]]; 13] = [
    // Some valid sequences.
    &[b"hello\x24world", b"hello\xc2\xa2world", b"hello\xe2\x82\xacworld", b"hello\xf0\xa4\xad\xa2world", KOSME],
    // All prefixes of a valid text, which `every` makes.
    &[],
    // First possible sequence of a length.
    &[b"\x00", b"\xc2\x80", b"\xe0\xa0\x80", b"\xf0\x90\x80\x80"],
    // The same, of five and six bytes.
    &[b"\xf8\x88\x80\x80\x80", b"\xfc\x84\x80\x80\x80\x80"],
    // Last possible sequence of a length.
    &[b"\x7f", b"\xdf\xbf", b"\xef\xbf\xbf", b"\xf4\x8f\xbf\xbf"],
    // The same, past the last character.
    &[b"\xf7\xbf\xbf\xbf", b"\xfb\xbf\xbf\xbf\xbf", b"\xfd\xbf\xbf\xbf\xbf\xbf"],
    // Other bounds.
    &[b"\xed\x9f\xbf", b"\xee\x80\x80", b"\xef\xbf\xbd", b"\xf4\x8f\xbf\xbf", b"\xf4\x90\x80\x80"],
    // Unexpected continuation bytes; `every` adds all of them together.
    &[b"\x80", b"\xbf", b"\x80\xbf", b"\x80\xbf\x80", b"\x80\xbf\x80\xbf", b"\x80\xbf\x80\xbf\x80", b"\x80\xbf\x80\xbf\x80\xbf"],
    // Lonely first bytes, which `every` makes.
    &[],
    // Sequences without their last byte; `every` adds all of them together as a head of its own.
    &[b"\xc0", b"\xe0\x80", b"\xf0\x80\x80", b"\xf8\x80\x80\x80", b"\xfc\x80\x80\x80\x80",
        b"\xdf", b"\xef\xbf", b"\xf7\xbf\xbf", b"\xfb\xbf\xbf\xbf", b"\xfd\xbf\xbf\xbf\xbf"],
    // Impossible bytes.
    &[b"\xfe", b"\xff", b"\xfe\xfe\xff\xff"],
    // Overlong forms of a slash, the longest overlong forms, and overlong forms of NUL.
    &[b"\xc0\xaf", b"\xe0\x80\xaf", b"\xf0\x80\x80\xaf", b"\xf8\x80\x80\x80\xaf", b"\xfc\x80\x80\x80\x80\xaf"],
    &[b"\xc1\xbf", b"\xe0\x9f\xbf", b"\xf0\x8f\xbf\xbf", b"\xf8\x87\xbf\xbf\xbf", b"\xfc\x83\xbf\xbf\xbf\xbf"],
];

/// The heads after [`SEQUENCES`].
#[rustfmt::skip]
const MORE_SEQUENCES: [&[&[u8]]; 3] = [
    &[b"\xc0\x80", b"\xe0\x80\x80", b"\xf0\x80\x80\x80", b"\xf8\x80\x80\x80\x80", b"\xfc\x80\x80\x80\x80\x80"],
    // Single surrogates, and pairs of them.
    &[b"\xed\xa0\x80", b"\xed\xad\xbf", b"\xed\xae\x80", b"\xed\xaf\xbf", b"\xed\xb0\x80", b"\xed\xbe\x80", b"\xed\xbf\xbf"],
    &[b"\xed\xa0\x80\xed\xb0\x80", b"\xed\xa0\x80\xed\xbf\xbf", b"\xed\xad\xbf\xed\xb0\x80", b"\xed\xad\xbf\xed\xbf\xbf",
        b"\xed\xae\x80\xed\xb0\x80", b"\xed\xae\x80\xed\xbf\xbf", b"\xed\xaf\xbf\xed\xb0\x80", b"\xed\xaf\xbf\xed\xbf\xbf"],
];

/// All sequences, with those that are made.
fn every() -> Vec<Vec<Vec<u8>>> {
    let owned =
        |heads: &[&[&[u8]]]| heads.iter().map(|head| head.iter().map(|bytes| bytes.to_vec()).collect()).collect();
    let mut heads: Vec<Vec<Vec<u8>>> = owned(&SEQUENCES);
    heads[1].extend((1..=KOSME.len()).map(|length| KOSME[..length].to_vec()));
    heads[7].push((0x80..0xbf).collect());
    for (first, last) in [(0xc0, 0xdf), (0xe0, 0xef), (0xf0, 0xf7), (0xf8, 0xfb), (0xfc, 0xfd)] {
        heads[8].push((first..last).flat_map(|byte| [byte, b' ']).collect());
    }
    let together = vec![heads[9].concat()];
    heads.insert(10, together);
    heads.extend(owned(&MORE_SEQUENCES));
    // The numbers that are no characters, two at the end of each plane, and the specials.
    let last_of_planes = (0..=16).flat_map(|plane| [plane * 0x1_0000 + 0xfffe, plane * 0x1_0000 + 0xffff]);
    let of = |numbers: Vec<u32>| {
        numbers.into_iter().filter_map(char::from_u32).map(|c| c.to_string().into_bytes()).collect::<Vec<_>>()
    };
    heads.push(of(last_of_planes.collect()));
    heads.push(of((0xfff9..=0xffff).collect()));
    heads
}

/// The message of a sequence that is a text, and what it leads to; the frame as it is where it is none.
fn sequence(number: &str, bytes: &[u8]) -> Case {
    let case = Case::new(number);
    let Ok(text) = std::str::from_utf8(bytes) else {
        return case.sends([Frame::new(Frame::TEXT, bytes)]).fails(1007);
    };
    let json = [br#"{"type":"chat.message","message":""#, bytes, b"\"}"].concat();
    let case = case.sends([Frame::new(Frame::TEXT, json)]);
    match text {
        // A control character is UTF-8, but not a message; in JSON it has to be escaped.
        "\0" => case.hears_error("invalid_json"),
        "\u{7f}" | "\u{80}" => case.hears_error("invalid"),
        text => case.hears_message(text),
    }
    .closes()
}

/// A message in frames of one byte.
fn byte_by_byte(payload: &[u8]) -> Vec<Frame> {
    let frames = payload.iter().enumerate().map(|(at, byte)| Frame {
        fin: at + 1 == payload.len(),
        ..Frame::new(if at == 0 { Frame::TEXT } else { Frame::CONTINUATION }, [*byte])
    });
    frames.collect()
}

/// The cases of the section.
pub(super) fn cases() -> Vec<Case> {
    const TEXT: &str = "Hello-µ@ßöäüàá-UTF-8!!";
    let empty = |opcode| Frame::new(opcode, "");
    let json = Frame::saying(TEXT).payload;
    let between_characters = json.len() - "üàá-UTF-8!!\"}".len();
    let (one, other) = json.split_at(between_characters);
    let kosme = Frame::saying("κόσμε");
    let [text, wrong, _] = PAST_THE_END;
    let first = || unfinished(Frame::new(Frame::TEXT, text));
    let mut cases = vec![
        Case::new("6.1.1").sends([empty(Frame::TEXT)]).hears_error("invalid_json").closes(),
        Case::new("6.1.2")
            .sends([unfinished(empty(Frame::TEXT)), unfinished(more("")), more("")])
            .hears_error("invalid_json")
            .closes(),
        Case::new("6.1.3")
            .sends([unfinished(empty(Frame::TEXT)), unfinished(more(json.clone())), more("")])
            .hears_message(TEXT)
            .closes(),
        Case::new("6.2.1").sends([Frame::saying(TEXT)]).hears_message(TEXT).closes(),
        Case::new("6.2.2").sends([unfinished(Frame::new(Frame::TEXT, one)), more(other)]).hears_message(TEXT).closes(),
        Case::new("6.2.3").sends(byte_by_byte(&json)).hears_message(TEXT).closes(),
        Case::new("6.2.4").sends(byte_by_byte(&kosme.payload)).hears_message("κόσμε").closes(),
        Case::new("6.3.1").sends([Frame::new(Frame::TEXT, SURROGATE.concat())]).fails(1007),
        Case::new("6.3.2").sends(byte_by_byte(&SURROGATE.concat())).fails(1007),
        // The second of three frames is the one that fails; the third is never sent.
        Case::new("6.4.1").sends([first()]).sends([unfinished(more(wrong))]).fails(1007),
        Case::new("6.4.2")
            .sends([unfinished(Frame::new(Frame::TEXT, [text, &wrong[..1]].concat()))])
            .sends([unfinished(more(&wrong[1..2]))])
            .fails(1007),
        // One frame in pieces, which is checked once it is whole.
        Case::new("6.4.3").chopped(6 + text.len(), [Frame::new(Frame::TEXT, PAST_THE_END.concat())]).fails(1007),
        Case::new("6.4.4").chopped(OCTETS, [Frame::new(Frame::TEXT, PAST_THE_END.concat())]).fails(1007),
    ];
    for (head, sequences) in (5..).zip(every()) {
        let numbered = (1..).zip(sequences);
        cases.extend(numbered.map(|(number, bytes)| sequence(&format!("6.{head}.{number}"), &bytes)));
    }
    cases
}
