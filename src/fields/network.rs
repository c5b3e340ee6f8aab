//! Networks in requests.

use std::net::IpAddr;

/// A network such as `192.0.2.0/24`, or one address.
pub(super) struct Network {
    address: IpAddr,
    prefix: u8,
}

impl Network {
    /// None if the text is neither.
    pub fn of(text: &[u8]) -> Option<Self> {
        let text = str::from_utf8(text).ok()?.trim();
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, prefix.parse().ok()?),
            None => (text, u8::MAX),
        };
        Some(Self {
            address: address.parse().ok()?,
            prefix,
        })
    }

    /// The whole internet, or so much of it that a few such networks come to the same.
    pub fn is_wide(&self) -> bool {
        self.prefix < if self.address.is_ipv4() { 8 } else { 16 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wide_networks_are_known_in_every_spelling() {
        for (text, wide) in [
            ("0.0.0.0/0", Some(true)),
            ("0.0.0.0/00", Some(true)),
            ("128.0.0.0/1", Some(true)),
            ("10.0.0.0/8", Some(false)),
            ("192.0.2.1", Some(false)),
            ("::/0", Some(true)),
            ("0:0::/0", Some(true)),
            ("2000::/3", Some(true)),
            ("2001:db8::/32", Some(false)),
            ("pl-1234", None),
            ("0.0.0.0/x", None),
        ] {
            let network = Network::of(text.as_bytes());
            assert_eq!(network.map(|network| network.is_wide()), wide, "{text}");
        }
    }
}
