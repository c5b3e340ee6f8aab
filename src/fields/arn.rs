//! The parts of an Amazon Resource Name.

/// `arn:PARTITION:SERVICE:REGION:ACCOUNT:RESOURCE`, of which region and account may be empty.
pub(super) struct Arn<'t> {
    pub service: &'t [u8],
    pub account: &'t [u8],
    pub resource: &'t [u8],
}

impl<'t> Arn<'t> {
    /// None if the text is not an ARN.
    pub fn of(text: &'t [u8]) -> Option<Self> {
        let mut parts = text.splitn(6, |&byte| byte == b':');
        let mut part = || parts.next();
        let (b"arn", _, service, _, account, resource) =
            (part()?, part()?, part()?, part()?, part()?, part()?)
        else {
            return None;
        };
        Some(Self {
            service,
            account,
            resource,
        })
    }
}
