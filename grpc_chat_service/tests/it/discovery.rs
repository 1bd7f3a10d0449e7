//! Health checks and reflection: what tools learn about the server without its `.proto` files.

use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::{v1, v1alpha};

use crate::support::server::start;
use crate::support::{channel, with_timeout};

#[tokio::test]
async fn health_is_reported_for_the_server_and_for_each_service() {
    let server = start().await;
    let mut client = HealthClient::new(channel(server.addr).await);
    for service in ["", "Chat", "chat.v1.ChatService"] {
        let request = HealthCheckRequest { service: service.to_owned() };
        assert_eq!(with_timeout(client.check(request)).await.unwrap().into_inner().status(), ServingStatus::Serving);
    }
    let request = HealthCheckRequest { service: "Chess".to_owned() };
    assert_eq!(with_timeout(client.check(request)).await.unwrap_err().code(), Code::NotFound);
}

/// Tests a version of the reflection service. The two versions differ only in their names.
macro_rules! reflects {
    ($version:ident) => {{
        use $version::server_reflection_client::ServerReflectionClient;
        use $version::server_reflection_request::MessageRequest;
        use $version::server_reflection_response::MessageResponse;

        let server = start().await;
        let mut client = ServerReflectionClient::new(channel(server.addr).await);
        let wanted = [
            MessageRequest::ListServices(String::new()),
            MessageRequest::FileContainingSymbol("Chat".to_owned()),
            MessageRequest::FileContainingSymbol("ChatMessage".to_owned()),
            MessageRequest::FileByFilename("google/protobuf/wrappers.proto".to_owned()),
        ];
        let requests = wanted
            .map(|wanted| $version::ServerReflectionRequest { host: String::new(), message_request: Some(wanted) });
        let call = client.server_reflection_info(tokio_stream::iter(requests));
        let mut replies = with_timeout(call).await.unwrap().into_inner();

        let Some(MessageResponse::ListServicesResponse(list)) =
            with_timeout(replies.message()).await.unwrap().unwrap().message_response
        else {
            panic!("the first reply is not a list of services");
        };
        let mut names: Vec<_> = list.service.into_iter().map(|service| service.name).collect();
        names.sort_unstable();
        assert!(names.contains(&"Chat".to_owned()), "{names:?}");
        assert!(names.contains(&"grpc.health.v1.Health".to_owned()), "{names:?}");

        for _ in 0..3 {
            let reply = with_timeout(replies.message()).await.unwrap().unwrap().message_response;
            assert!(matches!(reply, Some(MessageResponse::FileDescriptorResponse(_))), "{reply:?}");
        }
        assert!(with_timeout(replies.message()).await.unwrap().is_none());
    }};
}

#[tokio::test]
async fn reflection_lists_and_describes_the_services() {
    reflects!(v1);
}

#[tokio::test]
async fn reflection_v1alpha_lists_and_describes_the_services() {
    reflects!(v1alpha);
}
