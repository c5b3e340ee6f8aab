//! What the report counts by, and the plugin's fields that tell it.

/// What events are counted by.
pub struct Dimension {
    /// Its name in the page.
    pub key: &'static str,
    /// The plugin's field; none for what our own rules tell.
    pub field: Option<&'static str>,
    /// Counted of sign-ins only, since other events tell it of their session.
    pub of_sign_ins: bool,
    /// It has a few values, save where somebody makes them up. They are given up last.
    pub is_flag: bool,
}

const fn of(key: &'static str, field: &'static str) -> Dimension {
    Dimension {
        key,
        field: Some(field),
        of_sign_ins: false,
        is_flag: false,
    }
}

const fn flag(key: &'static str, field: &'static str) -> Dimension {
    Dimension {
        is_flag: true,
        ..of(key, field)
    }
}

/// How many there are.
pub const COUNT: usize = 16;

/// The one that tells whether an event is of the console.
pub const CONSOLE: usize = 10;

/// The one that tells whether an event only reads.
pub const READ_ONLY: usize = 11;

/// The one that tells whether an event is a sign-in.
pub const SIGN_IN: usize = 13;

/// The one that our own rules tell.
pub const RULE: usize = 15;

/// All of them. The rows of the page have a column each, in this order.
pub const DIMENSIONS: [Dimension; COUNT] = [
    of("name", "ct.name"),
    of("who", "ct.actor"),
    of("service", "ct.shortsrc"),
    of("agent", "ct.useragent"),
    of("outcome", "ct.outcome"),
    of("error", "ct.error"),
    of("region", "ct.region"),
    of("account", "ct.user.accountid"),
    of("address", "ct.srcip"),
    of("country", "ct.geo.country"),
    flag("console", "ct.console"),
    flag("readonly", "ct.readonly"),
    flag("failed", "ct.failed"),
    flag("signin", "signin.result"),
    Dimension {
        of_sign_ins: true,
        ..flag("mfa", "ct.mfaused")
    },
    Dimension {
        field: None,
        ..of("rule", "")
    },
];

/// The fields that are asked of each event, in the order of the dimensions.
pub fn fields() -> Vec<&'static str> {
    DIMENSIONS.iter().filter_map(|one| one.field).collect()
}

const _: () = assert!(DIMENSIONS[RULE].field.is_none() && RULE == COUNT - 1);
