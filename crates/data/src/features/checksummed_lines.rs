//! Lines of text that carry their own checksum, so that a torn one is known.

/// The line of this text: its CRC-32C, a space, the text, a line end.
pub(super) fn with_checksum(text: &str) -> String {
    format!("{:08x} {text}\n", crc32c::crc32c(text.as_bytes()))
}

/// The text of a line without its line end, or nothing where the checksum does not fit.
pub(super) fn checked(line: &[u8]) -> Option<&str> {
    let (checksum, text) = std::str::from_utf8(line).ok()?.split_once(' ')?;
    (u32::from_str_radix(checksum, 16).ok()? == crc32c::crc32c(text.as_bytes())).then_some(text)
}

/// The texts of the lines up to the first that is torn, each with the byte behind its line end.
pub(super) fn whole_lines(bytes: &[u8]) -> impl Iterator<Item = (&str, usize)> {
    let mut end = 0;
    bytes.split_inclusive(|&byte| byte == b'\n').map_while(move |line| {
        end += line.len();
        Some((checked(line.strip_suffix(b"\n")?)?, end))
    })
}
