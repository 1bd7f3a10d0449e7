package main

import (
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	chatv1 "chat/v1"
)

// How many messages may wait for a session that is slow to read them.
const queueLength = 1024

type session = grpc.BidiStreamingServer[chatv1.ClientFrame, chatv1.ServerFrame]

// A message for a session: a frame of its own, or one that is encoded once for a whole room.
type message any

// rooms implements as much of chat.v1 as it takes to pass messages on: Hello, Join and Send. It has no history, no
// presence and no limits.
type rooms struct {
	chatv1.UnimplementedChatServiceServer
	mutex sync.Mutex
	rooms map[string]*room
}

type room struct {
	mutex    sync.Mutex
	seq      uint64
	sessions map[chan message]struct{}
}

func (r *rooms) room(id string) *room {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if r.rooms[id] == nil {
		r.rooms[id] = &room{sessions: make(map[chan message]struct{})}
	}
	return r.rooms[id]
}

// Session reads in this goroutine and writes in another.
func (r *rooms) Session(stream session) error {
	queue, written := make(chan message, queueLength), make(chan struct{})
	var joined []*room
	defer func() {
		for _, room := range joined {
			room.leave(queue)
		}
		close(queue)
		<-written
	}()
	go func() {
		defer close(written)
		for message := range queue {
			if stream.SendMsg(message) != nil {
				// Reading fails, too, and ends the session.
				break
			}
		}
		for range queue {
		}
	}()
	user := ""
	for {
		frame, err := stream.Recv()
		if err != nil {
			return err
		}
		switch body := frame.Body.(type) {
		case *chatv1.ClientFrame_Hello:
			user = body.Hello.User
			queue <- reply(frame, &chatv1.ServerFrame{Body: &chatv1.ServerFrame_Welcome{Welcome: &chatv1.Welcome{User: user}}})
		case *chatv1.ClientFrame_Join:
			room := r.room(body.Join.Room)
			joined = append(joined, room)
			queue <- reply(frame, &chatv1.ServerFrame{Body: &chatv1.ServerFrame_Joined{Joined: &chatv1.Joined{Room: body.Join.Room}}})
			room.join(queue)
			queue <- &chatv1.ServerFrame{Body: &chatv1.ServerFrame_CaughtUp{CaughtUp: &chatv1.CaughtUp{Room: body.Join.Room}}}
		case *chatv1.ClientFrame_Send:
			ack, err := r.room(body.Send.Room).publish(stream, user, body.Send)
			if err != nil {
				return err
			}
			queue <- reply(frame, &chatv1.ServerFrame{Body: &chatv1.ServerFrame_Ack{Ack: ack}})
		}
	}
}

func reply(to *chatv1.ClientFrame, frame *chatv1.ServerFrame) *chatv1.ServerFrame {
	frame.ReplyTo = to.Id
	return frame
}

func (r *room) join(queue chan message) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.sessions[queue] = struct{}{}
}

func (r *room) leave(queue chan message) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	delete(r.sessions, queue)
}

// publish encodes the message once, and passes it on to every session in the room.
func (r *room) publish(stream session, user string, send *chatv1.Send) (*chatv1.Ack, error) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.seq++
	now := timestamppb.New(time.Now().Truncate(time.Millisecond))
	frame := &chatv1.ServerFrame{Body: &chatv1.ServerFrame_Event{Event: &chatv1.Event{
		Room:        send.Room,
		Seq:         r.seq,
		PrevSeq:     r.seq - 1,
		Time:        now,
		Sender:      user,
		ClientMsgId: send.ClientMsgId,
		Body:        &chatv1.Event_Posted{Posted: &chatv1.Posted{Text: send.Text}},
	}}}
	encoded := &grpc.PreparedMsg{}
	if err := encoded.Encode(stream, frame); err != nil {
		return nil, err
	}
	for session := range r.sessions {
		session <- encoded
	}
	return &chatv1.Ack{Room: send.Room, Seq: r.seq, Time: now, ClientMsgId: send.ClientMsgId}, nil
}
