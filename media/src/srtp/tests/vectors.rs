//! Test vectors of RFC 3711 appendix B, RFC 6188 §7 and RFC 7714 §16 and §17, byte for byte.
use super::super::{
    derivation::{Block, Derivation, Protocol},
    gcm::Gcm,
    header::{RtcpHeader, RtpHeader},
    master::Key,
    transform::{Trailer, Transform},
};
use super::*;
use zeroize::Zeroizing;

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u32> = text.chars().filter_map(|c| c.to_digit(16)).collect();
    digits.chunks(2).map(|pair| (pair[0] * 16 + pair[1]) as u8).collect()
}

/// Of the keystream from this salt on, the blocks of these numbers.
fn keystream(key: &str, salt: &str, blocks: &[usize]) -> Vec<Vec<u8>> {
    let mut first = [0; 16];
    first[..14].copy_from_slice(&hex(salt));
    let mut bytes = vec![0; 16 * (blocks.iter().max().unwrap() + 1)];
    Block::new(&Key::new(&hex(key)).unwrap()).apply(&first, &mut bytes);
    blocks.iter().map(|block| bytes[16 * block..16 * (block + 1)].to_vec()).collect()
}

#[test]
fn rfc3711_b2_aes_cm_keystream() {
    let expected = [
        (0x0000, "E03EAD0935C95E80E166B16DD92B4EB4"),
        (0x0001, "D23513162B02D0F72A43A2FE4A5F97AB"),
        (0x0002, "41E95B3BB0A2E8DD477901E4FCA894C0"),
        (0xfeff, "EC8CDF7398607CB0F2D21675EA9EA1E4"),
        (0xff00, "362B7C3C6773516318A077D7FC5073AE"),
        (0xff01, "6A2CC3787889374FBEB4C81B17BA6C44"),
    ];
    let blocks = expected.map(|(block, _)| block);
    let found = keystream("2B7E151628AED2A6ABF7158809CF4F3C", "F0F1F2F3F4F5F6F7F8F9FAFBFCFD", &blocks);
    assert_eq!(found, expected.map(|(_, bytes)| hex(bytes)));
}

#[test]
fn rfc3711_b3_key_derivation() {
    let both = hex("E1F97A0D3E018BE0D64FA32C06DE41390EC675AD498AFEEBB6960B3AABE6");
    let master = Master::new(Suite::AesCm128Sha1_80, &both).unwrap();
    let derivation = Derivation::new(&master, Protocol::Rtp);
    assert_eq!(derivation.encryption_key().expose(), hex("C61E7A93744F39EE10734AFE3FF7A087"));
    assert_eq!(derivation.salt::<14>().to_vec(), hex("30CBBC08863D8C85D49DB34A9AE1"));
    assert_eq!(derivation.authentication_key()[..20], hex("CEBE321F6FF7716B6FD4AB49AF256A156D38BAA4"));
    assert_eq!(derivation.authentication_key()[20..], [0; 44]);
}

#[test]
fn rfc6188_7_1_aes_256_cm_keystream() {
    let expected = [
        (0x0000, "92bdd28a93c3f52511c677d08b5515a4"),
        (0x0001, "9da71b2378a854f67050756ded165bac"),
        (0x0002, "63c4868b7096d88421b563b8c94c9a31"),
        (0xfeff, "cea518c90fd91ced9cbb18c078a54711"),
        (0xff00, "3dbc4814f4da5f00a08772b63c6a046d"),
        (0xff01, "6eb246913062a16891433e97dd01a57f"),
    ];
    let blocks = expected.map(|(block, _)| block);
    let key = "57f82fe3613fd170a85ec93c40b1f0922ec4cb0dc025b58272147cc438944a98";
    let found = keystream(key, "f0f1f2f3f4f5f6f7f8f9fafbfcfd", &blocks);
    assert_eq!(found, expected.map(|(_, bytes)| hex(bytes)));
}

#[test]
fn rfc6188_7_2_key_derivation() {
    let both = hex("f0f04914b513f2763a1b1fa130f10e2998f6f6e43e4309d1e622a0e332b9f1b6 3b04803de51ee7c96423ab5b78d2");
    let master = Master::new(Suite::Aes256CmSha1_80, &both).unwrap();
    let derivation = Derivation::new(&master, Protocol::Rtp);
    let key = hex("5ba1064e30ec51613cad926c5a28ef731ec7fb397f70a960653caf06554cd8c4");
    assert_eq!(derivation.encryption_key().expose(), key);
    assert_eq!(derivation.salt::<14>().to_vec(), hex("fa31791685ca444a9e07c6c64e93"));
    assert_eq!(derivation.authentication_key()[..20], hex("fd9c32d39ed5fbb5a9dc96b30818454d1313dc05"));
}

const KEY_128: &str = "000102030405060708090a0b0c0d0e0f";
const KEY_256: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
/// "Quid pro quo".
const SALT: &str = "517569642070726f2071756f";

fn gcm(key: &str) -> Transform {
    let salt: [u8; 12] = hex(SALT).try_into().unwrap();
    Transform::of_gcm(Gcm::of_session(&Key::new(&hex(key)).unwrap(), Zeroizing::new(salt)))
}

#[test]
fn rfc7714_16_srtp_is_encrypted_and_decrypted() {
    let plain = hex("8040f17b8041f8d35501a0b247616c6c696120657374206f6d6e69732064
                     69766973612069 6e207061727465732074726573");
    let cases = [
        (
            KEY_128,
            "f24de3a3fb34de6cacba861c9d7e4bcabe633bd50d294e6f42a5f47a51c7d19b36de3adf8833
             899d7f27beb16a9152cf765ee4390cce",
        ),
        (
            KEY_256,
            "32b1de78a822fe12ef9f78fa332e33aab18012389a58e2f3b50b2a0276ffae0f1ba63799b87b
             7aa3db36dfffd6b0f9bb7878d7a76c13",
        ),
    ];
    for (key, sealed) in cases {
        let (transform, header) = (gcm(key), RtpHeader::parse(&plain).unwrap());
        let mut packet = plain.clone();
        transform.seal_rtp(&mut packet, header, 0xf17b).unwrap();
        assert_eq!(packet, [&plain[..12], &hex(sealed)].concat());
        assert_eq!(transform.open_rtp(&mut packet, header, 0xf17b), Ok(plain.len()));
        assert_eq!(packet[..plain.len()], plain);
    }
}

#[test]
fn rfc7714_17_srtcp_is_encrypted_and_decrypted_and_may_be_authenticated_only() {
    // The packet of §17.1 to §17.4; the one in the introduction of §17 is another.
    let plain = hex("81c8000d4d6172734e5450314e545032525450200000042a0000e9304c756e61
                     deadbeefdeadbeefdeadbeefdeadbeefdeadbeef");
    let cases = [
        (
            KEY_128,
            "63e94885dcdab67ca727d7662f6b7e997ff5c0f76c06f32dc676a5f1730d6fda4ce09b4686303ded0bb9275b
             c84aa45896cf4d2fc5abf87245d9eade800005d4",
        ),
        (
            KEY_256,
            "d50ae4d1f5ce5d304ba297e47d470c282c3ece5dbffe0a50a2eaa5c1110555be8415f658c61de0476f1b6fad
             1d1eb30c4446839f57ff6f6cb26ac3be800005d4",
        ),
    ];
    let header = RtcpHeader::parse(&plain).unwrap();
    for (key, sealed) in cases {
        let (transform, mut packet) = (gcm(key), plain.clone());
        transform.seal_rtcp(&mut packet, header, 0x5d4).unwrap();
        assert_eq!(packet, [&plain[..8], &hex(sealed)].concat());
        let trailer = transform.trailer(&packet).unwrap();
        assert_eq!(trailer, Trailer { encrypted: true, index: 0x5d4 });
        assert_eq!(transform.open_rtcp(&mut packet, header, trailer), Ok(plain.len()));
        assert_eq!(packet[..plain.len()], plain);
    }
    let (transform, mut packet) = (gcm(KEY_128), plain.clone());
    packet.extend(hex("841dd9683dd78ec92ae58790125f62b3 000005d4"));
    let trailer = transform.trailer(&packet).unwrap();
    assert_eq!(trailer, Trailer { encrypted: false, index: 0x5d4 });
    assert_eq!(transform.open_rtcp(&mut packet, header, trailer), Ok(plain.len()));
    packet[20] ^= 1;
    assert_eq!(transform.open_rtcp(&mut packet, header, trailer), Err(Error::Unauthentic));
}
