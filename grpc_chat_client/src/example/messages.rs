//! The three messages of the example.

use stubs::ChatMessage;

/// What the example says, in order.
pub const CONVERSATION: [(&str, &str); 3] = [("Sam", "Hi"), ("Ann", "Hey"), ("John", "Hello")];

/// Returns the example as messages to send.
pub fn messages() -> impl Iterator<Item = ChatMessage> {
    CONVERSATION.into_iter().map(|(name, message)| ChatMessage { name: name.to_owned(), message: message.to_owned() })
}
