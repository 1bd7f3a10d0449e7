//! Tools find out what is here, and whether it is well, without having the `.proto` files.

use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::{v1, v1alpha};

use crate::support::{channel, soon, start};

#[tokio::test]
async fn health_is_told_for_the_server_and_for_each_service() {
    let server = start().await;
    let mut client = HealthClient::new(channel(server.addr).await);
    for service in ["", "Chat"] {
        let request = HealthCheckRequest { service: service.to_owned() };
        assert_eq!(soon(client.check(request)).await.unwrap().into_inner().status(), ServingStatus::Serving);
    }
    let request = HealthCheckRequest { service: "Chess".to_owned() };
    assert_eq!(soon(client.check(request)).await.unwrap_err().code(), Code::NotFound);
}

/// The two versions of reflection differ in their names only.
macro_rules! reflects {
    ($version:ident) => {{
        use $version::server_reflection_client::ServerReflectionClient;
        use $version::server_reflection_request::MessageRequest;
        use $version::server_reflection_response::MessageResponse;

        let server = start().await;
        let mut client = ServerReflectionClient::new(channel(server.addr).await);
        let asked = [
            MessageRequest::ListServices(String::new()),
            MessageRequest::FileContainingSymbol("Chat".to_owned()),
            MessageRequest::FileContainingSymbol("ChatMessage".to_owned()),
            MessageRequest::FileByFilename("google/protobuf/wrappers.proto".to_owned()),
        ];
        let requests =
            asked.map(|asked| $version::ServerReflectionRequest { host: String::new(), message_request: Some(asked) });
        let mut answers = soon(client.server_reflection_info(tokio_stream::iter(requests))).await.unwrap().into_inner();

        let Some(MessageResponse::ListServicesResponse(list)) =
            soon(answers.message()).await.unwrap().unwrap().message_response
        else {
            panic!("a list of services was asked for");
        };
        let mut names: Vec<_> = list.service.into_iter().map(|service| service.name).collect();
        names.sort_unstable();
        assert!(names.contains(&"Chat".to_owned()), "{names:?}");
        assert!(names.contains(&"grpc.health.v1.Health".to_owned()), "{names:?}");

        for _ in 0..3 {
            let answer = soon(answers.message()).await.unwrap().unwrap().message_response;
            assert!(matches!(answer, Some(MessageResponse::FileDescriptorResponse(_))), "{answer:?}");
        }
        assert!(soon(answers.message()).await.unwrap().is_none());
    }};
}

#[tokio::test]
async fn reflection_lists_and_describes_the_services() {
    reflects!(v1);
}

#[tokio::test]
async fn reflection_does_so_in_its_old_version_too() {
    reflects!(v1alpha);
}
