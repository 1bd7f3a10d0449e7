package foreign;

import chat.example.ChatGrpc;
import chat.example.ChatMessage;
import chat.v1.Ack;
import chat.v1.ChatServiceGrpc;
import chat.v1.ChatServiceGrpc.ChatServiceBlockingV2Stub;
import chat.v1.ClientFrame;
import chat.v1.Cursor;
import chat.v1.Event;
import chat.v1.Joined;
import chat.v1.Leave;
import chat.v1.ListMessagesRequest;
import chat.v1.ListMessagesResponse;
import chat.v1.Ping;
import chat.v1.Reason;
import chat.v1.ResetReason;
import chat.v1.SendMessageRequest;
import chat.v1.SendMessageResponse;
import chat.v1.ServerFrame;
import chat.v1.Verdict;
import com.google.protobuf.Any;
import com.google.protobuf.ByteString;
import com.google.protobuf.StringValue;
import com.google.rpc.Code;
import com.google.rpc.ErrorInfo;
import com.google.rpc.Status;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.StatusException;
import io.grpc.protobuf.StatusProto;
import io.grpc.stub.BlockingClientCall;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.UUID;
import java.util.concurrent.TimeUnit;

/** Checks the service with a client that protoc and protoc-gen-grpc-java generate. Needs the address as its argument. */
public final class Client {
    /** The deadline of a call, in seconds: so long that only a service that stops replying exceeds it. */
    private static final long DEADLINE = 60;

    private final ManagedChannel channel;

    private Client(ManagedChannel channel) {
        this.channel = channel;
    }

    private void theExample() throws Exception {
        BlockingClientCall<ChatMessage, StringValue> call =
                ChatGrpc.newBlockingV2Stub(channel).withDeadlineAfter(DEADLINE, TimeUnit.SECONDS).chat();
        call.write(ChatMessage.newBuilder().setName("Sam").setMessage("Hi").build());
        call.write(ChatMessage.newBuilder().setName("Ann").setMessage("Hey").build());
        call.write(ChatMessage.newBuilder().setName("John").setMessage("Hello").build());
        call.halfClose();
        List<String> replies = new ArrayList<>();
        for (StringValue reply = call.read(); reply != null; reply = call.read()) {
            replies.add(reply.getValue());
        }
        expect(replies, List.of("Sam: Hi", "Ann: Hey", "John: Hello"));
    }

    private void aSenderReceivesItsAckAndItsEvent() throws Exception {
        String room = newRoom();
        Session sam = new Session(chat(), "sam");
        expect(sam.join(room).getVerdict(), Verdict.VERDICT_LIVE);
        Ack ack = sam.send(room, "Hi, 漢字");
        expect(ack.getSeq(), 1L);
        Event event = sam.event();
        expect(event.getSeq(), ack.getSeq());
        expect(event.getClientMsgId(), ack.getClientMsgId());
        expect(event.getSender(), "sam");
        expect(event.getPosted().getText(), "Hi, 漢字");
        sam.finish();
    }

    private void aReaderThatResumesMissesNothing() throws Exception {
        String room = newRoom();
        Session sam = new Session(chat(), "sam");
        Session ann = new Session(chat(), "ann");
        long epoch = ann.join(room).getEpoch();
        sam.send(room, "seen");
        Event seen = ann.event();
        ann.finish();
        sam.send(room, "missed");
        sam.finish();

        ann = new Session(chat(), "ann");
        expect(ann.join(room, cursor(epoch, seen.getSeq(), seen.getClientMsgId())).getVerdict(), Verdict.VERDICT_RECOVERED);
        Event missed = ann.event();
        expect(missed.getPrevSeq(), seen.getSeq());
        expect(missed.getPosted().getText(), "missed");
        ann.finish();
    }

    private void aCursorThatNamesAnotherEventIsReset() throws Exception {
        String room = newRoom();
        Session sam = new Session(chat(), "sam");
        long epoch = sam.join(room).getEpoch();
        Ack ack = sam.send(room, "Hi");
        Joined joined = sam.join(room, cursor(epoch, ack.getSeq(), newId()));
        expect(joined.getVerdict(), Verdict.VERDICT_RESET);
        expect(joined.getResetReason(), ResetReason.RESET_REASON_FORKED);
        sam.finish();
    }

    private void anErrorHasAReason() throws Exception {
        Session sam = new Session(chat(), "sam");
        Leave leave = Leave.newBuilder().setRoom("elsewhere").build();
        Status status = sam.request(ClientFrame.newBuilder().setLeave(leave)).getError().getStatus();
        expect(Code.forNumber(status.getCode()), Code.FAILED_PRECONDITION);
        expect(reason(status), Reason.NOT_JOINED.name());
        // The stream continues.
        sam.send(newRoom(), "Hi");
        sam.finish();
    }

    private void aHeartbeatIsAnswered() throws Exception {
        Session sam = new Session(chat(), "sam");
        sam.next(ServerFrame::hasPing);
        expect(sam.request(ClientFrame.newBuilder().setPing(Ping.getDefaultInstance())).hasPong(), true);
        sam.finish();
    }

    private void aMessageIsPostedWithoutASession() throws Exception {
        String room = newRoom();
        ChatServiceBlockingV2Stub chat = chat();
        SendMessageRequest message = SendMessageRequest.newBuilder()
                .setUser("bot").setRoom(room).setText("Deployed").setClientMsgId(newId())
                .build();
        SendMessageResponse stored = chat.sendMessage(message);
        SendMessageResponse repeat = chat.sendMessage(message);
        expect(repeat.getDuplicate(), true);
        expect(repeat.getSeq(), stored.getSeq());

        ListMessagesResponse page = chat.listMessages(ListMessagesRequest.newBuilder().setRoom(room).build());
        expect(page.getEventsCount(), 1);
        expect(page.getEvents(0).getPosted().getText(), "Deployed");
        expect(page.getEpoch(), stored.getEpoch());

        try {
            chat.sendMessage(message.toBuilder().setRoom("not a room").build());
        } catch (StatusException refused) {
            Status status = StatusProto.fromThrowable(refused);
            expect(Code.forNumber(status.getCode()), Code.INVALID_ARGUMENT);
            expect(reason(status), Reason.INVALID_FIELD.name());
            return;
        }
        throw new AssertionError("expected INVALID_ARGUMENT for a message to \"not a room\", got OK");
    }

    private interface Check {
        void run() throws Exception;
    }

    private Map<String, Check> checks() {
        Map<String, Check> checks = new LinkedHashMap<>();
        checks.put("theExample", this::theExample);
        checks.put("aSenderReceivesItsAckAndItsEvent", this::aSenderReceivesItsAckAndItsEvent);
        checks.put("aReaderThatResumesMissesNothing", this::aReaderThatResumesMissesNothing);
        checks.put("aCursorThatNamesAnotherEventIsReset", this::aCursorThatNamesAnotherEventIsReset);
        checks.put("anErrorHasAReason", this::anErrorHasAReason);
        checks.put("aHeartbeatIsAnswered", this::aHeartbeatIsAnswered);
        checks.put("aMessageIsPostedWithoutASession", this::aMessageIsPostedWithoutASession);
        return checks;
    }

    public static void main(String[] args) {
        if (args.length != 1) {
            System.err.println("usage: Client ADDRESS");
            System.exit(2);
        }
        String address = args[0];
        ManagedChannel channel = Grpc.newChannelBuilder(address, InsecureChannelCredentials.create()).build();
        new Client(channel).checks().forEach((name, check) -> {
            try {
                check.run();
            } catch (Exception | AssertionError error) {
                System.err.println("java: " + name + ": " + error.getMessage());
                System.exit(1);
            }
            System.out.println("java: " + name + ": ok");
        });
        channel.shutdownNow();
    }

    static void expect(Object got, Object wanted) {
        if (!Objects.equals(got, wanted)) {
            throw new AssertionError("expected " + wanted + ", got " + got);
        }
    }

    static ByteString newId() {
        UUID id = UUID.randomUUID();
        ByteBuffer bytes = ByteBuffer.allocate(16).putLong(id.getMostSignificantBits()).putLong(id.getLeastSignificantBits());
        return ByteString.copyFrom(bytes.flip());
    }

    private static String newRoom() {
        return "java/" + UUID.randomUUID();
    }

    private static Cursor cursor(long epoch, long seq, ByteString clientMsgId) {
        return Cursor.newBuilder().setEpoch(epoch).setSeq(seq).setClientMsgId(clientMsgId).build();
    }

    private ChatServiceBlockingV2Stub chat() {
        return ChatServiceGrpc.newBlockingV2Stub(channel).withDeadlineAfter(DEADLINE, TimeUnit.SECONDS);
    }

    /** Returns the reason in a status's ErrorInfo. */
    private static String reason(Status status) throws Exception {
        for (Any detail : status.getDetailsList()) {
            if (detail.is(ErrorInfo.class)) {
                return detail.unpack(ErrorInfo.class).getReason();
            }
        }
        return "none";
    }
}
