//! Frames as clients send them, and as they must arrive.

use super::*;

const OPENING: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags, 0, 0, 0, 1]);
    frame.extend(payload);
    frame
}

fn field(first: u8, value: &[u8]) -> Vec<u8> {
    let length = u8::try_from(value.len()).unwrap();
    assert!(length < 0x7f);
    [&[first, length], value].concat()
}

/// What arrives, however the bytes were cut.
fn passed(frames: &[Vec<u8>]) -> Vec<u8> {
    let sent = [OPENING, &frames.concat()].concat();
    let mut whole = sent.clone();
    Frames::default().pass(&mut whole);
    for size in 1..5 {
        let (mut cut, mut filter) = (sent.clone(), Frames::default());
        cut.chunks_mut(size).for_each(|piece| filter.pass(piece));
        assert_eq!(cut, whole, "in pieces of {size}");
    }
    whole[OPENING.len()..].to_vec()
}

#[test]
fn the_path_of_the_socket_becomes_a_name() {
    let sent = [vec![0x83], field(0x41, b"tmp%2Fa.sock"), vec![0x86]].concat();
    let came = [vec![0x83], field(0x41, b"tmp-2Fa.sock"), vec![0x86]].concat();
    assert_eq!(
        passed(&[frame(HEADERS, 4, &sent)]),
        frame(HEADERS, 4, &came)
    );
}

/// What gRPC's C core sends first.
#[test]
fn a_name_that_is_spelled_out_is_known() {
    let spelled = |value: &[u8]| [&b"@\x0a:authority"[..], &field(0, value)[1..]].concat();
    let others = [
        &b"@\x05:path"[..],
        &field(0, b"/%")[1..],
        b"@\x0a:authoritx\x01%",
    ]
    .concat();
    let sent = [others.clone(), spelled(b"tmp%2Fa.sock"), spelled(b"%")].concat();
    let came = [others, spelled(b"tmp-2Fa.sock"), spelled(b"-")].concat();
    assert_eq!(
        passed(&[frame(HEADERS, 4, &sent)]),
        frame(HEADERS, 4, &came)
    );
}

#[test]
fn all_three_forms_of_a_literal_are_read() {
    for form in [0x41, 0x01, 0x11] {
        let sent = frame(HEADERS, 4, &field(form, b"%"));
        assert_eq!(passed(&[sent]), frame(HEADERS, 4, &field(form, b"-")));
    }
}

#[test]
fn other_fields_keep_their_percent_signs() {
    let named = [
        vec![0x40],
        field(1, b"%")[1..].to_vec(),
        field(0, b"a%b")[1..].to_vec(),
    ];
    let long_index = [vec![0x7f, 0x03], field(0, b"%%")[1..].to_vec()].concat();
    let resized = vec![0x3f, 0xe1, 0x1f];
    let block = [resized, field(0x44, b"/a%20b"), named.concat(), long_index].concat();
    let sent = frame(HEADERS, 4, &block);
    assert_eq!(passed(std::slice::from_ref(&sent)), sent);
}

/// As Go sends it: "%2Fa" and "a%" in the code of RFC 7541 become ".2Fa" and "a.".
#[test]
fn the_path_of_the_socket_becomes_a_name_where_it_is_compressed() {
    for (sent, came) in [
        (&[0x83, 0x54, 0x58, 0x87], &[0x83, 0x5c, 0x58, 0x87][..]),
        (&[0x82, 0x1a, 0xbf, 0x86], &[0x82, 0x1a, 0xff, 0x86]),
    ] {
        let sent = [&[0x41], &sent[..]].concat();
        let came = [&[0x41], came].concat();
        let came = frame(HEADERS, 4, &came);
        assert_eq!(passed(&[frame(HEADERS, 4, &sent)]), came);
    }
}

/// "aa" and "localhost".
#[test]
fn a_compressed_authority_without_percent_signs_stays() {
    for text in [
        &[0x82, 0x18, 0xff][..],
        &[0x86, 0xa0, 0xe4, 0x1d, 0x13, 0x9d, 0x09],
    ] {
        let sent = frame(HEADERS, 4, &[&[0x41], text].concat());
        assert_eq!(passed(std::slice::from_ref(&sent)), sent);
    }
}

#[test]
fn padding_priority_and_continuation_are_stepped_over() {
    let field = field(0x41, b"a%b%c");
    let first = [&[2][..], &[b'%'; 5], &field[..4], b"%%"].concat();
    let frames = [
        frame(4, 0, b"%A\x01%"),
        frame(HEADERS, PADDED | PRIORITY, &first),
        frame(CONTINUATION, 4, &field[4..]),
        frame(0, 1, b"A\x01%"),
    ];
    let mut came = frames.concat();
    let at = |text: &[u8]| {
        came.windows(text.len())
            .position(|found| found == text)
            .unwrap()
    };
    let (one, two) = (at(b"a%") + 1, at(b"b%c") + 1);
    came[one] = b'-';
    came[two] = b'-';
    assert_eq!(passed(&frames), came);
}

#[test]
fn a_long_authority_is_read_to_its_end() {
    let value = [b"%".repeat(300), b"end".to_vec()].concat();
    let length = [0x7f, 0xb0, 0x01];
    let block = [&[0x41][..], &length, &value, &field(0x44, b"%")].concat();
    let came = passed(&[frame(HEADERS, 4, &block)]);
    assert_eq!(came.iter().filter(|byte| **byte == b'%').count(), 1);
}

#[test]
fn nonsense_goes_on_as_it_came() {
    let endless = [&[0x41, 0x7f][..], &[0xff; 40], b"%"].concat();
    let short_padding = frame(HEADERS, PADDED, &[200, 0x41, 1, b'%']);
    let frames = [
        frame(HEADERS, PADDED, &[]),
        frame(HEADERS, PRIORITY, b"%"),
        short_padding,
    ];
    for sent in frames.into_iter().chain([frame(HEADERS, 4, &endless)]) {
        assert_eq!(passed(std::slice::from_ref(&sent)), sent);
    }
}
