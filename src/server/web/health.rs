//! The services of gRPC that are not Tenure's: health, and reflection.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;
use tonic::service::Routes;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use super::Site;
use crate::server::Life;
use crate::service::SERVICES;

/// The schemas of `proto/`, compiled; a test holds them to their sources.
const DESCRIPTORS: &[u8] = include_bytes!("../../../proto/descriptors.binpb");

/// How often it is looked at whether everything can be kept.
const LOOK: Duration = Duration::from_millis(250);

/// The services, and who tells the one of them how the server is.
pub(super) fn services() -> (Routes, HealthReporter) {
    let (reporter, health) = tonic_health::server::health_reporter();
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let mut routes = Routes::new(health);
    // What was compiled into the program can be read; a test looks.
    if let (Ok(newer), Ok(older)) = (reflection().build_v1(), reflection().build_v1alpha()) {
        routes = routes.add_service(newer).add_service(older);
    }
    (routes.prepare(), reporter)
}

/// Keeps the health service true until the server stops.
pub(super) async fn keep(site: Arc<Site>, reporter: HealthReporter) {
    let mut life = site.life.subscribe();
    let mut told = None;
    while *life.borrow_and_update() == Life::Serving {
        let status = match site.shared.engine.check_storage() {
            Ok(()) => ServingStatus::Serving,
            Err(_) => ServingStatus::NotServing,
        };
        if told.replace(status) != Some(status) {
            tell(&reporter, status).await;
        }
        tokio::select! {
            _ = life.changed() => {}
            () = sleep(LOOK) => {}
        }
    }
    tell(&reporter, ServingStatus::NotServing).await;
}

async fn tell(reporter: &HealthReporter, status: ServingStatus) {
    for service in names() {
        reporter.set_service_status(service, status).await;
    }
}

/// The server as a whole, and each service.
fn names() -> impl Iterator<Item = &'static str> {
    [""].into_iter().chain(SERVICES)
}
