//! For tests of those who submit: an engine that tells nobody its outcomes at once.

use std::sync::Arc;

use super::EngineBuilder;
use crate::log::{Log, Unit};

/// Lets turns go at once, but does not promise it.
struct NoPromise;

impl Log for NoPromise {
    fn commit(&self, unit: &mut dyn Unit) {
        unit.release();
    }
}

impl EngineBuilder {
    /// Every outcome comes by the sink, where a test can have it wait.
    pub(crate) fn by_sink(self) -> Self {
        self.log(Arc::new(NoPromise))
    }
}
