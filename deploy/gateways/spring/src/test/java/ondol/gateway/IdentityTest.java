package ondol.gateway;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;

import java.net.URI;
import java.net.URLDecoder;
import java.nio.charset.StandardCharsets;
import java.util.Map;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.springframework.http.HttpHeaders;

class IdentityTest {
    private static final TokenSettings.Claims NAMES = new TokenSettings.Claims("sub", "nickname", "email", "picture");

    @ParameterizedTest
    @ValueSource(strings = {
        "user_id=evil", "user_id", "user_id=", "nickname=a&email=b&profile_url=c", "user_id=1&user_id=2", "USER_ID=1",
        "%75ser_id=1", "%75%73%65%72%5f%69%64=1", "user%5Fid=1", "user%5fid=1", "%50rofile_url=/x", "user_id=a=b"})
    void everySpellingOfAKeyIsRemoved(String query) {
        assertThat(Identity.clean(query)).isEmpty();
    }

    @ParameterizedTest
    @CsvSource({
        "after=1&user_id=evil&limit=2, after=1&limit=2",
        "user_id=evil&q=a+b%26c%3D%23&user_id, q=a+b%26c%3D%23",
        "q=%EB%AF%BC&email=x&q=%25, q=%EB%AF%BC&q=%25",
        "user_ids=1&x_user_id=2&userid=3, user_ids=1&x_user_id=2&userid=3",
        "user%255Fid=1, user%255Fid=1",
        "a&&b=, a&&b=",
        "%zz=1, %zz=1"})
    void theRestOfAQueryIsLeftAsItWasWritten(String query, String cleaned) {
        assertThat(Identity.clean(query)).isEqualTo(cleaned);
    }

    @ParameterizedTest
    @ValueSource(strings = {
        "X-User-ID", "x-user-id", "X_User_ID", "x_user-id", "X-Nickname", "X-Email", "X_EMAIL", "X-Profile-URL",
        "X_Profile_URL", "X-Ondol-Assertion", "X_Ondol_Assertion", "X-Forwarded-For", "X-Forwarded-Host",
        "X_Forwarded_Proto", "Forwarded"})
    void aHeaderThatSaysWhoTheClientIsIsRemoved(String name) {
        assertThat(Identity.isClaimed(name)).isTrue();
    }

    @ParameterizedTest
    @ValueSource(strings = {"Host", "Content-Type", "Origin", "X-Request-ID", "Sec-WebSocket-Key", "User-Agent"})
    void otherHeadersPass(String name) {
        assertThat(Identity.isClaimed(name)).isFalse();
    }

    @ParameterizedTest
    @ValueSource(strings = {"민지", "a&b", "a=b", "a#b", "a+b", "100%", "100%25", "victi%6D", "a b", "é", "👋🏽", "\"',;"})
    void aValueSurvivesItsEncoding(String value) {
        HttpHeaders headers = new HttpHeaders();
        new Identity(value, value, value, value).write(headers);
        for (String name : new String[] {"X-User-ID", "X-Nickname", "X-Email", "X-Profile-URL"}) {
            assertThat(headers.get(name)).hasSize(1);
            String written = headers.getFirst(name);
            assertThat(written).matches("[A-Za-z0-9._~-]*(%[0-9A-F]{2}[A-Za-z0-9._~-]*)*");
            assertThat(URLDecoder.decode(written, StandardCharsets.UTF_8)).isEqualTo(value);
        }
    }

    @Test
    void anIdentityComesFromItsClaims() {
        assertThat(Identity.of(Map.of("sub", 7L, "nickname", "민지", "email", "m@example.com"), NAMES))
                .isEqualTo(new Identity("7", "민지", "m@example.com", null));
        assertThatIllegalArgumentException()
                .isThrownBy(() -> Identity.of(Map.of("sub", "u1", "email", "m@example.com"), NAMES));
        assertThatIllegalArgumentException()
                .isThrownBy(() -> Identity.of(Map.of("sub", "u1", "nickname", " ", "email", "e"), NAMES));
        assertThatIllegalArgumentException()
                .isThrownBy(() -> Identity.of(Map.of("sub", 7.5, "nickname", "n", "email", "e"), NAMES));
    }

    @ParameterizedTest
    @CsvSource({
        "http://gateway/chat/v1/rooms/, http://ondol:8000/chat/v1/rooms/",
        "http://gateway/a%2Fb/?user_id=x, http://ondol:8000/a%2Fb/",
        "http://gateway/ws/?q=a+b%2B100%25&email=x, http://ondol:8000/ws/?q=a+b%2B100%25"})
    void theTargetKeepsTheEncodingOfTheRequest(URI request, URI target) {
        assertThat(Identity.target("http", URI.create("http://ondol:8000/ignored?user_id=x"), request)).isEqualTo(target);
    }
}
