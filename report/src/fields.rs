//! What the report counts by, and the plugin's fields that tell it.

/// What events are counted by.
pub struct Dimension {
    /// Its name in the page.
    pub key: &'static str,
    /// The plugin's field; none for what our own rules tell.
    pub field: Option<&'static str>,
    /// Counted of sign-ins only, since other events tell it of their session.
    pub of_sign_ins: bool,
}

const fn of(key: &'static str, field: &'static str) -> Dimension {
    Dimension {
        key,
        field: Some(field),
        of_sign_ins: false,
    }
}

/// How many there are.
pub const COUNT: usize = 16;

/// The one that tells how an event ended.
pub const OUTCOME: usize = 4;

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
    of("console", "ct.console"),
    of("readonly", "ct.readonly"),
    of("failed", "ct.failed"),
    of("signin", "signin.result"),
    Dimension {
        of_sign_ins: true,
        ..of("mfa", "ct.mfaused")
    },
    Dimension {
        field: None,
        ..of("rule", "")
    },
];

/// The fields that are asked of each event: those of the dimensions, in their order, and its time.
pub fn fields() -> Vec<&'static str> {
    let fields = DIMENSIONS.iter().filter_map(|one| one.field);
    fields.chain(["ct.time"]).collect()
}

/// Which of them is its time.
pub const TIME: usize = RULE;

const _: () = assert!(DIMENSIONS[RULE].field.is_none() && RULE == COUNT - 1);
