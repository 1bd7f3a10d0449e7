// Package foreign checks the service with a client that protoc-gen-go and protoc-gen-go-grpc generate:
//
//	go test -v -address=127.0.0.1:9090
//
// The generated packages are expected in chat/. The README says how they are generated.
package foreign

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"reflect"
	"testing"
	"time"

	"github.com/google/uuid"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"example.com/foreign/chat/example"
	chatv1 "example.com/foreign/chat/v1"
)

// The deadline of a call: far longer than a call takes, so that a service that stops replying fails the test instead of
// blocking it.
const deadline = time.Minute

var connection *grpc.ClientConn

func TestMain(m *testing.M) {
	address := flag.String("address", "127.0.0.1:9090", "address of the service")
	flag.Parse()
	os.Exit(runTests(m, *address))
}

func runTests(m *testing.M, address string) int {
	var err error
	connection, err = grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s is not an address: %v\n", address, err)
		return 2
	}
	defer connection.Close()
	return m.Run()
}

func TestTheExample(t *testing.T) {
	call, err := example.NewChatClient(connection).Chat(withDeadline(t))
	check(t, err)
	messages := []*example.ChatMessage{
		{Name: "Sam", Message: "Hi"},
		{Name: "Ann", Message: "Hey"},
		{Name: "John", Message: "Hello"},
	}
	for _, message := range messages {
		check(t, call.Send(message))
	}
	check(t, call.CloseSend())
	var replies []string
	for {
		reply, err := call.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		check(t, err)
		replies = append(replies, reply.Value)
	}
	expect(t, replies, []string{"Sam: Hi", "Ann: Hey", "John: Hello"})
}

func TestASenderReceivesItsAckAndItsEvent(t *testing.T) {
	room := newRoom()
	sam := openSession(t, "sam")
	expect(t, sam.join(room, nil).Verdict, chatv1.Verdict_VERDICT_LIVE)
	ack := sam.send(room, "Hi, 漢字")
	expect(t, ack.Seq, 1)
	event := sam.event()
	expect(t, event.Seq, ack.Seq)
	expect(t, event.ClientMsgId, ack.ClientMsgId)
	expect(t, event.Sender, "sam")
	expect(t, event.GetPosted().GetText(), "Hi, 漢字")
	sam.finish()
}

func TestAReaderThatResumesMissesNothing(t *testing.T) {
	room := newRoom()
	sam, ann := openSession(t, "sam"), openSession(t, "ann")
	epoch := ann.join(room, nil).Epoch
	sam.send(room, "seen")
	seen := ann.event()
	ann.finish()
	sam.send(room, "missed")
	sam.finish()

	ann = openSession(t, "ann")
	cursor := &chatv1.Cursor{Epoch: epoch, Seq: seen.Seq, ClientMsgId: seen.ClientMsgId}
	expect(t, ann.join(room, cursor).Verdict, chatv1.Verdict_VERDICT_RECOVERED)
	missed := ann.event()
	expect(t, missed.PrevSeq, seen.Seq)
	expect(t, missed.GetPosted().GetText(), "missed")
	ann.finish()
}

func TestACursorThatNamesAnotherEventIsReset(t *testing.T) {
	room := newRoom()
	sam := openSession(t, "sam")
	epoch := sam.join(room, nil).Epoch
	ack := sam.send(room, "Hi")
	joined := sam.join(room, &chatv1.Cursor{Epoch: epoch, Seq: ack.Seq, ClientMsgId: newID()})
	expect(t, joined.Verdict, chatv1.Verdict_VERDICT_RESET)
	expect(t, joined.ResetReason, chatv1.ResetReason_RESET_REASON_FORKED)
	sam.finish()
}

func TestAnErrorHasAReason(t *testing.T) {
	sam := openSession(t, "sam")
	leave := &chatv1.Leave{Room: "elsewhere"}
	reply := sam.request(&chatv1.ClientFrame{Body: &chatv1.ClientFrame_Leave{Leave: leave}})
	refused := status.FromProto(reply.GetError().GetStatus())
	expect(t, refused.Code(), codes.FailedPrecondition)
	expect(t, reason(refused), chatv1.Reason_NOT_JOINED.String())
	// The stream continues.
	sam.send(newRoom(), "Hi")
	sam.finish()
}

func TestAHeartbeatIsAnswered(t *testing.T) {
	sam := openSession(t, "sam")
	sam.next(func(frame *chatv1.ServerFrame) bool { return frame.GetPing() != nil })
	reply := sam.request(&chatv1.ClientFrame{Body: &chatv1.ClientFrame_Ping{Ping: &chatv1.Ping{}}})
	expect(t, reply.GetPong() != nil, true)
	sam.finish()
}

func TestAMessageIsPostedWithoutASession(t *testing.T) {
	room, ctx := newRoom(), withDeadline(t)
	chat := chatv1.NewChatServiceClient(connection)
	message := &chatv1.SendMessageRequest{User: "bot", Room: room, Text: "Deployed", ClientMsgId: newID()}
	stored, err := chat.SendMessage(ctx, message)
	check(t, err)
	repeat, err := chat.SendMessage(ctx, message)
	check(t, err)
	expect(t, repeat.Duplicate, true)
	expect(t, repeat.Seq, stored.Seq)

	page, err := chat.ListMessages(ctx, &chatv1.ListMessagesRequest{Room: room})
	check(t, err)
	expect(t, len(page.Events), 1)
	expect(t, page.Events[0].GetPosted().GetText(), "Deployed")
	expect(t, page.Epoch, stored.Epoch)

	_, err = chat.SendMessage(ctx, &chatv1.SendMessageRequest{User: "bot", Room: "not a room", Text: "Deployed"})
	expect(t, status.Code(err), codes.InvalidArgument)
	expect(t, reason(status.Convert(err)), chatv1.Reason_INVALID_FIELD.String())
}

// reason returns the reason in a status's ErrorInfo.
func reason(refused *status.Status) string {
	for _, detail := range refused.Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok {
			return info.Reason
		}
	}
	return "none"
}

func newRoom() string {
	return "go/" + uuid.NewString()
}

func newID() []byte {
	id := uuid.Must(uuid.NewV7())
	return id[:]
}

func withDeadline(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	t.Cleanup(cancel)
	return ctx
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func expect[T any](t *testing.T, got, wanted T) {
	t.Helper()
	if !reflect.DeepEqual(got, wanted) {
		t.Fatalf("expected %v, got %v", wanted, got)
	}
}
