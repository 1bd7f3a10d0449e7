//! Clients and servers of the services: tonic-build's generator, given what prost-build knows of a service.

use proc_macro2::TokenStream;
use prost_build::{Method, Service};
use tonic_build::CodeGenBuilder;

/// The package whose `Session` replies with bytes that are encoded once for all readers, by a route of its own. With
/// default stubs its generated trait asks only for the other methods.
const CHAT: &str = "chat.v1";

/// Where the generated modules find the messages.
const MESSAGES: &str = "super";

/// Writes a client module and a server module for every service.
pub(crate) struct Generator;

impl prost_build::ServiceGenerator for Generator {
    fn generate(&mut self, service: Service, code: &mut String) {
        let mut builder = CodeGenBuilder::new();
        builder.generate_default_stubs(service.package == CHAT);
        let service = Described { methods: service.methods.iter().cloned().map(DescribedMethod).collect(), service };
        for module in [builder.generate_client(&service, MESSAGES), builder.generate_server(&service, MESSAGES)] {
            code.push_str(&module.to_string());
        }
    }
}

/// A service as tonic-build asks for it.
struct Described {
    service: Service,
    methods: Vec<DescribedMethod>,
}

/// A method as tonic-build asks for it.
struct DescribedMethod(Method);

impl tonic_build::Service for Described {
    type Comment = String;
    type Method = DescribedMethod;

    fn name(&self) -> &str {
        &self.service.name
    }

    fn package(&self) -> &str {
        &self.service.package
    }

    fn identifier(&self) -> &str {
        &self.service.proto_name
    }

    fn methods(&self) -> &[Self::Method] {
        &self.methods
    }

    fn comment(&self) -> &[String] {
        &self.service.comments.leading
    }
}

impl tonic_build::Method for DescribedMethod {
    type Comment = String;

    fn name(&self) -> &str {
        &self.0.name
    }

    fn identifier(&self) -> &str {
        &self.0.proto_name
    }

    fn codec_path(&self) -> &'static str {
        "tonic_prost::ProstCodec"
    }

    fn client_streaming(&self) -> bool {
        self.0.client_streaming
    }

    fn server_streaming(&self) -> bool {
        self.0.server_streaming
    }

    fn comment(&self) -> &[String] {
        &self.0.comments.leading
    }

    fn deprecated(&self) -> bool {
        self.0.options.deprecated()
    }

    fn request_response_name(&self, messages: &str, _compile_well_known_types: bool) -> (TokenStream, TokenStream) {
        (rust_type(&self.0.input_type, messages), rust_type(&self.0.output_type, messages))
    }
}

/// Returns the path of a message: absolute where it is a type of another crate, otherwise below `messages`.
#[expect(clippy::expect_used, reason = "prost-build names every message by a path of Rust")]
fn rust_type(name: &str, messages: &str) -> TokenStream {
    let path = if name.starts_with("::") { name.to_owned() } else { format!("{messages}::{name}") };
    path.parse().expect("a path is made of tokens")
}
