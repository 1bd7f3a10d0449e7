package foreign;

import chat.v1.Ack;
import chat.v1.ChatServiceGrpc.ChatServiceBlockingV2Stub;
import chat.v1.ClientFrame;
import chat.v1.Cursor;
import chat.v1.Event;
import chat.v1.Hello;
import chat.v1.Join;
import chat.v1.Joined;
import chat.v1.Pong;
import chat.v1.Send;
import chat.v1.ServerFrame;
import io.grpc.StatusException;
import io.grpc.stub.BlockingClientCall;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.function.Predicate;

/** A session of one user. Frames that are received while another one is awaited are kept for later. */
final class Session {
    private final BlockingClientCall<ClientFrame, ServerFrame> stream;
    private final List<ServerFrame> received = new ArrayList<>();
    private long id;

    /** Opens a session and says hello. */
    Session(ChatServiceBlockingV2Stub chat, String user) throws Exception {
        stream = chat.session();
        Hello hello = Hello.newBuilder().setUser(user).setClientName("foreign/java").build();
        ServerFrame reply = request(ClientFrame.newBuilder().setHello(hello));
        Client.expect(reply.getWelcome().getUser(), user);
    }

    /** Sends a frame under the next id and returns the reply. */
    ServerFrame request(ClientFrame.Builder frame) throws Exception {
        long frameId = ++id;
        stream.write(frame.setId(frameId).build());
        return next(reply -> reply.getReplyTo() == frameId);
    }

    /** Joins a room: delivery begins with the next event. */
    Joined join(String room) throws Exception {
        return join(Join.newBuilder().setRoom(room));
    }

    /** Joins a room: delivery begins with the first event after the cursor. */
    Joined join(String room, Cursor after) throws Exception {
        return join(Join.newBuilder().setRoom(room).setAfter(after));
    }

    private Joined join(Join.Builder join) throws Exception {
        ServerFrame reply = request(ClientFrame.newBuilder().setJoin(join));
        Client.expect(reply.getJoined().getRoom(), join.getRoom());
        return reply.getJoined();
    }

    /** Posts a message and returns its Ack. */
    Ack send(String room, String text) throws Exception {
        Send send = Send.newBuilder().setRoom(room).setText(text).setClientMsgId(Client.newId()).build();
        ServerFrame reply = request(ClientFrame.newBuilder().setSend(send));
        Client.expect(reply.getAck().getClientMsgId(), send.getClientMsgId());
        return reply.getAck();
    }

    /** Returns the next event. */
    Event event() throws Exception {
        return next(ServerFrame::hasEvent).getEvent();
    }

    /** Returns the first frame that is wanted. Replies to pings. */
    ServerFrame next(Predicate<ServerFrame> wanted) throws Exception {
        for (Iterator<ServerFrame> kept = received.iterator(); kept.hasNext(); ) {
            ServerFrame frame = kept.next();
            if (wanted.test(frame)) {
                kept.remove();
                return frame;
            }
        }
        for (ServerFrame frame = stream.read(); frame != null; frame = stream.read()) {
            if (frame.hasPing()) {
                stream.write(ClientFrame.newBuilder().setPong(Pong.getDefaultInstance()).build());
            }
            if (wanted.test(frame)) {
                return frame;
            }
            received.add(frame);
        }
        throw new AssertionError("expected another frame, got the end of the stream");
    }

    /** Half-closes, and reads the stream to its end, which has to be OK. */
    void finish() throws InterruptedException, StatusException {
        stream.halfClose();
        while (stream.read() != null) {}
    }
}
