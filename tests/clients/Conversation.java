// The conversation of tests/stories/foreign_clients.rs with Java's own client. The argument is the address of a room.
// Run as a single file: java Conversation.java ws://…

import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.WebSocket;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

public class Conversation implements WebSocket.Listener {
    private final BlockingQueue<String> heard = new LinkedBlockingQueue<>();
    private final StringBuilder message = new StringBuilder();

    public static void main(String[] arguments) throws Exception {
        URI address = URI.create(arguments[0]);
        Conversation first = new Conversation();
        WebSocket socket = HttpClient.newHttpClient().newWebSocketBuilder().buildAsync(address, first).join();
        first.hear();
        first.say(socket, List.of("안녕하세요! ♨"));
        first.say(socket, List.of("가".repeat(2_000)));
        socket.sendPing(ByteBuffer.wrap("살아 있니".getBytes(StandardCharsets.UTF_8))).join();
        first.hear();
        socket.sendBinary(ByteBuffer.wrap(new byte[] {0x00, (byte) 0xff}), true).join();
        first.hear();
        first.say(socket, List.of("조각", "난 말"));
        first.hear();
        socket.sendClose(1000, "안녕히 계세요").join();
        first.hear();

        Conversation second = new Conversation();
        HttpClient.newHttpClient().newWebSocketBuilder().buildAsync(address, second).join();
        second.hear();
        second.hear();
        second.hear();
        System.exit(0);
    }

    private void say(WebSocket socket, List<String> fragments) throws Exception {
        String start = "{\"type\":\"chat.message\",\"message\":\"";
        for (int at = 0; at < fragments.size(); at++) {
            boolean last = at + 1 == fragments.size();
            socket.sendText((at == 0 ? start : "") + fragments.get(at) + (last ? "\"}" : ""), last).join();
        }
        hear();
    }

    private void hear() throws Exception {
        String next = heard.poll(60, TimeUnit.SECONDS);
        System.out.println(next);
    }

    @Override
    public CompletionStage<?> onText(WebSocket socket, CharSequence part, boolean last) {
        message.append(part);
        if (last) {
            String type = field("type");
            String named = type.equals("error") ? field("code") : type.equals("chat.message") ? field("message") : field("username");
            heard.add(type + " " + named);
            message.setLength(0);
        }
        socket.request(1);
        return null;
    }

    @Override
    public CompletionStage<?> onPong(WebSocket socket, ByteBuffer payload) {
        String text = StandardCharsets.UTF_8.decode(payload).toString();
        heard.add(text.equals("살아 있니") ? "pong" : "pong of " + text);
        socket.request(1);
        return null;
    }

    @Override
    public CompletionStage<?> onClose(WebSocket socket, int code, String reason) {
        heard.add("closed " + code);
        return null;
    }

    @Override
    public void onError(WebSocket socket, Throwable error) {
        heard.add("error " + error);
    }

    /** A text of the event. The texts of this conversation have no escapes. */
    private String field(String name) {
        Matcher found = Pattern.compile("\"" + name + "\":\"([^\"]*)\"").matcher(message);
        return found.find() ? found.group(1) : null;
    }
}
