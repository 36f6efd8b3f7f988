use super::*;

const HOLD: &[u8] = include_bytes!("../../fixtures/freeswitch_hold.pcap");
const DIGITS: &[u8] = include_bytes!("../../fixtures/freeswitch_dtmf.pcap");
const PTIMES: &[u8] = include_bytes!("../../fixtures/freeswitch_ptime.pcap");

/// Datagrams of a classic little-endian pcap of raw IPv4: when, and the UDP payload.
fn datagrams(pcap: &[u8]) -> Vec<(Duration, Vec<u8>)> {
    let number = |bytes: &[u8]| u32::from_le_bytes(bytes.try_into().expect("four bytes"));
    let (mut rest, mut datagrams) = (&pcap[24..], Vec::new());
    while let Some((header, tail)) = rest.split_at_checked(16) {
        let at = Duration::new(number(&header[..4]).into(), number(&header[4..8]) * 1_000);
        let (packet, tail) = tail.split_at(number(&header[8..12]) as usize);
        let ip_header = usize::from(packet[0] & 0xf) * 4;
        datagrams.push((at, packet[ip_header + 8..].to_vec()));
        rest = tail;
    }
    datagrams
}

fn replay(pcap: &[u8]) -> (Call, Vec<Vec<u8>>) {
    let mut call = Call::new(AudioFormat::G711(Law::Mu));
    let datagrams = datagrams(pcap);
    for (at, datagram) in &datagrams {
        let at = call.start + *at;
        call.run(at.saturating_duration_since(call.now));
        call.receive(PHONE, datagram);
    }
    let audio = datagrams.iter().filter_map(|(_, datagram)| Packet::parse(datagram).ok());
    let payloads = audio.filter(|p| p.payload_type == 0).map(|p| p.payload.to_vec()).collect();
    (call, payloads)
}

#[test]
fn hold_music_and_jumping_timestamps_lose_nothing() {
    let (call, payloads) = replay(HOLD);
    let stats = call.session.stats();
    assert_eq!((stats.received, stats.lost, stats.restarts, stats.late, stats.malformed), (381, 0, 0, 0, 0));
    assert!(stats.timestamp_jumps >= 3, "{stats:?}");
    assert!(stats.jitter < ms(20), "{stats:?}");
    let made_up = SampleRate::HZ_8000.samples_in(stats.silence + stats.concealed);
    let left_out = SampleRate::HZ_8000.samples_in(stats.left_out);
    assert_eq!(call.heard_bytes().len() + left_out, payloads.len() * 160 + made_up);
    let untouched = payloads.iter().filter(|payload| {
        call.events.iter().any(|(_, e)| matches!(e, Event::Audio(Audio::G711 { bytes, .. }) if bytes == *payload))
    });
    let changed = (stats.concealed + stats.left_out).as_millis() / 20;
    assert!(untouched.count() + changed as usize >= payloads.len());
}

#[test]
fn digits_are_heard_once_each() {
    let (call, _) = replay(DIGITS);
    assert_eq!(call.digits(), "51242#");
    let stats = call.session.stats();
    assert_eq!((stats.lost, stats.duplicated, stats.malformed), (0, 0, 0));
}

#[test]
fn another_packet_time_in_mid_call_is_taken() {
    let (call, payloads) = replay(PTIMES);
    let stats = call.session.stats();
    let sent: usize = payloads.iter().map(Vec::len).sum();
    assert_eq!(payloads.iter().filter(|p| p.len() == 80).count(), 10);
    let made_up = SampleRate::HZ_8000.samples_in(stats.silence + stats.concealed);
    assert_eq!((call.heard_bytes().len(), stats.lost), (sent + made_up, 0));
    assert!(stats.concealed <= ms(60), "{stats:?}");
}
