package ondol.gateway;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Instant;
import java.util.Date;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.function.Consumer;

import com.nimbusds.jose.JOSEException;
import com.nimbusds.jose.JWSAlgorithm;
import com.nimbusds.jose.JWSHeader;
import com.nimbusds.jose.crypto.MACSigner;
import com.nimbusds.jwt.JWTClaimsSet;
import com.nimbusds.jwt.PlainJWT;
import com.nimbusds.jwt.SignedJWT;
import io.netty.handler.codec.http.HttpHeaders;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.Test;
import org.springframework.beans.factory.annotation.Autowired;
import org.springframework.boot.test.context.SpringBootTest;
import org.springframework.boot.test.web.server.LocalServerPort;
import org.springframework.test.context.DynamicPropertyRegistry;
import org.springframework.test.context.DynamicPropertySource;
import org.springframework.test.web.reactive.server.WebTestClient;
import reactor.core.publisher.Mono;
import reactor.netty.DisposableServer;
import reactor.netty.http.server.HttpServer;

/** The whole gateway, in front of a server that keeps what reaches it. */
@SpringBootTest(webEnvironment = SpringBootTest.WebEnvironment.RANDOM_PORT)
class IdentityFilterTest {
    private static final String SECRET = "a secret of the tests, 32 bytes or longer";

    private static final BlockingQueue<Seen> SEEN = new LinkedBlockingQueue<>();

    private static final DisposableServer UPSTREAM = HttpServer.create().port(0).handle((request, response) -> {
        SEEN.add(new Seen(request.uri(), request.requestHeaders().copy()));
        return response.sendString(Mono.just("seen"));
    }).bindNow();

    private record Seen(String target, HttpHeaders headers) {
    }

    @Autowired
    private WebTestClient client;

    @LocalServerPort
    private int port;

    @DynamicPropertySource
    static void settings(DynamicPropertyRegistry registry) throws IOException {
        Path secret = Files.createTempFile("secret", "");
        Files.writeString(secret, SECRET + "\n");
        secret.toFile().deleteOnExit();
        registry.add("GATEWAY_UPSTREAM", () -> "http://127.0.0.1:" + UPSTREAM.port());
        registry.add("GATEWAY_TOKEN_KEYS", () -> "k=HS256:" + secret);
        registry.add("GATEWAY_TOKEN_COOKIE", () -> "session");
        registry.add("GATEWAY_TOKEN_AUDIENCE", () -> "chat");
    }

    @AfterAll
    static void stop() {
        UPSTREAM.disposeNow();
    }

    @Test
    void aTokenReplacesWhatTheClientSaysOfItself() throws Exception {
        String token = sign(SECRET, claims -> { });
        String query = "user_id=evil&limit=2&%6Eickname=evil";
        client.get().uri(URI.create("http://127.0.0.1:" + port + "/chat/v1/rooms/?" + query))
                .header("Authorization", "Bearer " + token)
                .header("X_User_ID", "evil").header("X-Email", "evil").header("X-Forwarded-For", "192.0.2.1")
                .cookie("session", token).cookie("theme", "dark")
                .exchange().expectStatus().isOk();
        Seen seen = SEEN.take();
        assertThat(seen.target()).isEqualTo("/chat/v1/rooms/?limit=2");
        HttpHeaders headers = seen.headers();
        assertThat(headers.getAll("X-User-ID")).containsExactly("u1");
        assertThat(headers.getAll("X-Nickname")).containsExactly("%EB%AF%BC%EC%A7%80");
        assertThat(headers.getAll("X-Email")).containsExactly("a%2Bb%40example.com");
        assertThat(headers.getAll("X-Forwarded-For")).containsExactly("127.0.0.1");
        assertThat(headers.getAll("X-Forwarded-Host")).containsExactly(headers.get("Host"));
        assertThat(headers.getAll("X-Forwarded-Proto")).containsExactly("http");
        assertThat(List.of("X_User_ID", "X-Profile-URL", "Authorization", "Cookie")).noneMatch(headers::contains);
        assertThat(headers.toString()).doesNotContain(token);
    }

    @Test
    void readingNeedsNoTokenAndWritingDoes() throws Exception {
        client.get().uri("/chat/v1/rooms/").header("X-User-ID", "evil").exchange().expectStatus().isOk();
        assertThat(SEEN.take().headers().contains("X-User-ID")).isFalse();
        client.post().uri("/chat/v1/create-room/").exchange().expectStatus().isUnauthorized();
        assertThat(SEEN).isEmpty();
    }

    @Test
    void aTokenThatDoesNotHoldIsRefused() throws Exception {
        refused(sign("another secret of the tests, 32 bytes or longer", claims -> { }));
        refused(sign(SECRET, claims -> claims.expirationTime(Date.from(Instant.now().minusSeconds(60)))));
        refused(sign(SECRET, claims -> claims.expirationTime(null)));
        refused(sign(SECRET, claims -> claims.notBeforeTime(Date.from(Instant.now().plusSeconds(60)))));
        refused(sign(SECRET, claims -> claims.audience("another")));
        refused(sign(SECRET, claims -> claims.claim("nickname", null)));
        refused(new PlainJWT(claims().build()).serialize());
        refused("no token");
        refused("..");
    }

    @Test
    void twoTokensThatDifferAreRefused() throws Exception {
        client.get().uri("/chat/v1/rooms/").header("Authorization", "Bearer " + sign(SECRET, claims -> { }))
                .cookie("session", sign(SECRET, claims -> claims.subject("u2")))
                .exchange().expectStatus().isUnauthorized();
    }

    @Test
    void aBodyThatIsTooLargeIsRefused() throws Exception {
        client.post().uri("/chat/v1/message/").header("Authorization", "Bearer " + sign(SECRET, claims -> { }))
                .bodyValue("x".repeat(65_537)).exchange().expectStatus().isEqualTo(413);
        assertThat(SEEN).isEmpty();
    }

    @Test
    void aTokenIsTakenOutOfTheSubprotocols() throws Exception {
        client.get().uri("/chat/v1/rooms/")
                .header("Sec-WebSocket-Protocol", "chat.v1,ondol.token, " + sign(SECRET, claims -> { }) + ", chat.v2")
                .exchange().expectStatus().isOk();
        HttpHeaders headers = SEEN.take().headers();
        assertThat(headers.get("X-User-ID")).isEqualTo("u1");
        assertThat(headers.getAll("Sec-WebSocket-Protocol")).containsExactly("chat.v1, ondol.token, chat.v2");
    }

    @Test
    void aSocketNeedsATokenBeforeItsUpgrade() {
        client.get().uri("/ws/chat/1/chat/").header("Connection", "Upgrade").header("Upgrade", "websocket")
                .header("Sec-WebSocket-Version", "13").header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
                .exchange().expectStatus().isUnauthorized();
    }

    private void refused(String token) {
        client.get().uri("/chat/v1/rooms/").header("Authorization", "Bearer " + token)
                .exchange().expectStatus().isUnauthorized()
                .expectHeader().valueEquals("WWW-Authenticate", "Bearer realm=\"chat\", error=\"invalid_token\"")
                .expectBody(String.class)
                .isEqualTo("{\"detail\":\"The token is not valid.\",\"code\":\"not_authenticated\"}");
        assertThat(SEEN).isEmpty();
    }

    private static JWTClaimsSet.Builder claims() {
        return new JWTClaimsSet.Builder().subject("u1").claim("nickname", "민지").claim("email", "a+b@example.com")
                .audience("chat").expirationTime(Date.from(Instant.now().plusSeconds(60)));
    }

    private static String sign(String secret, Consumer<JWTClaimsSet.Builder> change) throws JOSEException {
        JWTClaimsSet.Builder claims = claims();
        change.accept(claims);
        SignedJWT token = new SignedJWT(new JWSHeader(JWSAlgorithm.HS256), claims.build());
        token.sign(new MACSigner(secret));
        return token.serialize();
    }
}
