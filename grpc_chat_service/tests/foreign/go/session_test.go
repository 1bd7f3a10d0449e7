package foreign

import (
	"errors"
	"io"
	"slices"
	"testing"

	chatv1 "example.com/foreign/chat/v1"
)

// session is a session of one user. A call that fails ends the test.
type session struct {
	t      *testing.T
	stream chatv1.ChatService_SessionClient
	// The id of the last request.
	id uint64
	// Frames that were received while another one was awaited.
	received []*chatv1.ServerFrame
}

// openSession opens a session and says hello.
func openSession(t *testing.T, user string) *session {
	t.Helper()
	stream, err := chatv1.NewChatServiceClient(connection).Session(withDeadline(t))
	check(t, err)
	opened := &session{t: t, stream: stream}
	hello := &chatv1.Hello{User: user, ClientName: "foreign/go"}
	reply := opened.request(&chatv1.ClientFrame{Body: &chatv1.ClientFrame_Hello{Hello: hello}})
	expect(t, reply.GetWelcome().GetUser(), user)
	return opened
}

// request sends a frame under the next id and returns the reply.
func (session *session) request(frame *chatv1.ClientFrame) *chatv1.ServerFrame {
	session.t.Helper()
	session.id++
	frame.Id = session.id
	session.write(frame)
	return session.next(func(reply *chatv1.ServerFrame) bool { return reply.ReplyTo == frame.Id })
}

// join joins a room. Without a cursor, delivery begins with the next event.
func (session *session) join(room string, after *chatv1.Cursor) *chatv1.Joined {
	session.t.Helper()
	join := &chatv1.Join{Room: room}
	if after != nil {
		join.Start = &chatv1.Join_After{After: after}
	}
	reply := session.request(&chatv1.ClientFrame{Body: &chatv1.ClientFrame_Join{Join: join}})
	expect(session.t, reply.GetJoined().GetRoom(), room)
	return reply.GetJoined()
}

// send posts a message and returns its Ack.
func (session *session) send(room, text string) *chatv1.Ack {
	session.t.Helper()
	id := newID()
	send := &chatv1.Send{Room: room, Text: text, ClientMsgId: id}
	reply := session.request(&chatv1.ClientFrame{Body: &chatv1.ClientFrame_Send{Send: send}})
	expect(session.t, reply.GetAck().GetClientMsgId(), id)
	return reply.GetAck()
}

// event returns the next event.
func (session *session) event() *chatv1.Event {
	session.t.Helper()
	frame := session.next(func(frame *chatv1.ServerFrame) bool { return frame.GetEvent() != nil })
	return frame.GetEvent()
}

// next returns the first frame that is wanted and keeps the others for later. It replies to pings.
func (session *session) next(wanted func(*chatv1.ServerFrame) bool) *chatv1.ServerFrame {
	session.t.Helper()
	if index := slices.IndexFunc(session.received, wanted); index >= 0 {
		frame := session.received[index]
		session.received = slices.Delete(session.received, index, index+1)
		return frame
	}
	for {
		frame, err := session.stream.Recv()
		check(session.t, err)
		if frame.GetPing() != nil {
			session.write(&chatv1.ClientFrame{Body: &chatv1.ClientFrame_Pong{Pong: &chatv1.Pong{}}})
		}
		if wanted(frame) {
			return frame
		}
		session.received = append(session.received, frame)
	}
}

// finish half-closes the stream and reads it to its end, which has to be OK.
func (session *session) finish() {
	session.t.Helper()
	check(session.t, session.stream.CloseSend())
	for {
		_, err := session.stream.Recv()
		if errors.Is(err, io.EOF) {
			return
		}
		check(session.t, err)
	}
}

func (session *session) write(frame *chatv1.ClientFrame) {
	session.t.Helper()
	// io.EOF says that the stream has ended, and reading it says why.
	if err := session.stream.Send(frame); !errors.Is(err, io.EOF) {
		check(session.t, err)
	}
}
