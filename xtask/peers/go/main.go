// A server on grpc-go, as its users write them, that the service is measured beside: the example, and rooms without a
// history.
package main

import (
	"flag"
	"fmt"
	"log"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"chat/example"
	chatv1 "chat/v1"
)

func main() {
	address := flag.String("listen", "127.0.0.1:0", "address to listen on")
	flag.Parse()
	listener, err := net.Listen("tcp", *address)
	if err != nil {
		log.Fatal(err)
	}
	server := grpc.NewServer()
	example.RegisterChatServer(server, chat{})
	chatv1.RegisterChatServiceServer(server, &rooms{rooms: make(map[string]*room)})
	log.Fatal(server.Serve(listener))
}

type chat struct {
	example.UnimplementedChatServer
}

// Chat replies to every message.
func (chat) Chat(stream grpc.BidiStreamingServer[example.ChatMessage, wrapperspb.StringValue]) error {
	for {
		message, err := stream.Recv()
		if err != nil {
			return err
		}
		reply := wrapperspb.String(fmt.Sprintf("%s: %s", message.GetName(), message.GetMessage()))
		if err := stream.Send(reply); err != nil {
			return err
		}
	}
}
