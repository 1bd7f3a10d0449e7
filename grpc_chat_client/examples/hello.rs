//! Joins a room, posts a message, and prints every message of the room.

use grpc_chat_client::{Body, Config, Start, Update, connect, sanitize};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let server = std::env::args().nth(1).unwrap_or("http://127.0.0.1:9090".to_owned());
    let config = Config::new(server.parse()?, "sam".parse()?);
    let (client, mut events) = connect(config).await?;
    client.join("general", Start::Last(20)).await?;

    // Returns when it is stored, however many connections that takes.
    let ack = client.send("general", "Hi").await?;
    println!("stored as message {}", ack.seq);

    // Each event comes once, and in order.
    while let Some(update) = events.next().await {
        if let Update::Event(event) = update
            && let Body::Posted { text, .. } = event.body
        {
            println!("{}: {}", sanitize(&event.sender), sanitize(&text));
        }
    }
    Ok(())
}
