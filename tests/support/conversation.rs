//! SPEC section 1, "a conversation that must hold": one table for every client that holds it. Each state is
//! written `t<term> "<leader>" [<who waits>]`.

/// Before the first step.
pub(crate) const BEFORE: &str = r#"t0 "" []"#;

pub(crate) struct Step {
    /// Whose connection: 0 for c1, 1 for c2, 2 for c3.
    pub(crate) by: usize,
    pub(crate) method: &'static str,
    pub(crate) candidate: &'static str,
    /// The reply, and the event of the watch on c1's connection.
    pub(crate) state: &'static str,
}

pub(crate) const STEPS: [Step; 10] = [
    step(0, "Enter", "c1", r#"t1 "c1" []"#),
    step(1, "Enter", "c2", r#"t1 "c1" ["c2"]"#),
    step(2, "Enter", "c3", r#"t1 "c1" ["c2", "c3"]"#),
    step(0, "Promote", "c3", r#"t1 "c1" ["c3", "c2"]"#),
    step(0, "Promote", "c3", r#"t2 "c3" ["c1", "c2"]"#),
    step(0, "Anoint", "c2", r#"t3 "c2" ["c3", "c1"]"#),
    step(1, "Withdraw", "c2", r#"t4 "c3" ["c1"]"#),
    step(0, "Evict", "c3", r#"t5 "c1" []"#),
    step(1, "Enter", "c2", r#"t5 "c1" ["c2"]"#),
    step(0, "Anoint", "c2", LAST),
];

/// After the last step.
#[allow(dead_code, reason = "not every conversation says more of it")]
pub(crate) const LAST: &str = r#"t6 "c2" ["c1"]"#;
/// The event of c2's Close.
pub(crate) const C2_CLOSED: &str = r#"t7 "c1" []"#;
/// After c1's and c3's Close, also after Create again.
pub(crate) const ALL_CLOSED: &str = r#"t7 "" []"#;

const fn step(
    by: usize,
    method: &'static str,
    candidate: &'static str,
    state: &'static str,
) -> Step {
    Step { by, method, candidate, state }
}
