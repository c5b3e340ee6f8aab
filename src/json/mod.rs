//! Bytes of JSON that may be broken: ends of values by brackets and quotes alone; [`simd`] finds these 64 bytes at a time.

pub(crate) mod simd;

/// Where the string ends whose opening quote is at `at`, quotes included. None where it has no end.
pub(crate) fn string_end(data: &[u8], at: usize) -> Option<usize> {
    let mut next = at + 1;
    loop {
        next += memchr::memchr2(b'"', b'\\', data.get(next..)?)?;
        if data[next] == b'"' {
            return Some(next + 1);
        }
        next += 2;
    }
}

/// Where the value that begins at `at` ends. None where it has no end, or there is nothing.
pub(crate) fn value_end(data: &[u8], at: usize) -> Option<usize> {
    if !matches!(data.get(at)?, b'{' | b'[' | b'"') {
        let ends = |byte: &u8| b"\",:{}[] \n\r\t".contains(byte);
        let length = data[at..].iter().position(ends);
        return Some(length.map_or(data.len(), |length| at + length.max(1)));
    }
    let mut depth = 0usize;
    let mut next = at;
    loop {
        match data.get(next)? {
            b'"' => next = string_end(data, next)?,
            byte => {
                match byte {
                    b'{' | b'[' => depth += 1,
                    b'}' | b']' => depth -= 1,
                    _ => {}
                }
                next += 1;
            }
        }
        if depth == 0 {
            return Some(next);
        }
    }
}
