package ondol.gateway;

import java.util.Arrays;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import java.util.stream.IntStream;
import java.util.stream.Stream;

import org.springframework.http.HttpCookie;
import org.springframework.http.HttpHeaders;
import org.springframework.http.server.reactive.ServerHttpRequest;
import org.springframework.util.StringUtils;

/** Where a request carries its token. Knows requests, and nothing of what a token says. */
final class Tokens {
    /** The subprotocol that stands before a token: browsers let pages set no other header of a WebSocket. */
    static final String SUBPROTOCOL = "ondol.token";

    static final String PROTOCOLS = "Sec-WebSocket-Protocol";

    private Tokens() {
    }

    /** The tokens of a request: none, one, or several that differ. */
    static Set<String> of(ServerHttpRequest request, String cookie) {
        Set<String> found = new LinkedHashSet<>();
        List<String> authorizations = request.getHeaders().getOrEmpty(HttpHeaders.AUTHORIZATION);
        authorizations.stream().filter(value -> value.regionMatches(true, 0, "Bearer ", 0, 7))
                .map(value -> value.substring(7).trim()).forEach(found::add);
        List<String> offered = offered(request.getHeaders());
        for (int i = 0; i + 1 < offered.size(); i++) {
            if (offered.get(i).equals(SUBPROTOCOL)) {
                found.add(offered.get(i + 1));
            }
        }
        if (StringUtils.hasText(cookie)) {
            request.getCookies().getOrDefault(cookie, List.of()).stream().map(HttpCookie::getValue).forEach(found::add);
        }
        return found;
    }

    /** The subprotocols that a WebSocket offers, without a token among them. */
    static List<String> protocols(HttpHeaders headers) {
        List<String> offered = offered(headers);
        return IntStream.range(0, offered.size())
                .filter(i -> i == 0 || !offered.get(i - 1).equals(SUBPROTOCOL)).mapToObj(offered::get).toList();
    }

    private static List<String> offered(HttpHeaders headers) {
        Stream<String> values = headers.getOrEmpty(PROTOCOLS).stream();
        return values.flatMap(value -> Arrays.stream(value.split(","))).map(String::trim).toList();
    }
}
