package ondol.gateway;

import java.net.URI;
import java.net.URLDecoder;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;

import org.springframework.http.HttpHeaders;
import org.springframework.util.StringUtils;
import org.springframework.web.util.UriUtils;

/**
 * The user of a verified token, and what a client must not say of itself. Knows the names that Ondol reads, and nothing of
 * tokens or routes.
 */
record Identity(String userId, String nickname, String email, String profileUrl) {
    private static final Set<String> KEYS = Set.of("user_id", "nickname", "email", "profile_url");

    private static final Set<String> HEADERS =
            Set.of("x-user-id", "x-nickname", "x-email", "x-profile-url", "x-ondol-assertion", "forwarded");

    private static final String FORWARDED = "x-forwarded-";

    /**
     * The identity in the claims of a token.
     *
     * @throws IllegalArgumentException when a value is missing, or is neither a text nor a whole number
     */
    static Identity of(Map<String, Object> claims, TokenSettings.Claims names) {
        String profileUrl = text(claims, names.profileUrl());
        return new Identity(required(claims, names.userId()), required(claims, names.nickname()),
                required(claims, names.email()), StringUtils.hasText(profileUrl) ? profileUrl : null);
    }

    /** Writes the identity as headers, percent-encoded: Ondol reads back every character. */
    void write(HttpHeaders headers) {
        headers.set("X-User-ID", encode(userId));
        headers.set("X-Nickname", encode(nickname));
        headers.set("X-Email", encode(email));
        if (profileUrl != null) {
            headers.set("X-Profile-URL", encode(profileUrl));
        }
    }

    /** Whether a client's header says who or where the client is. A header with underscores counts as its twin. */
    static boolean isClaimed(String header) {
        String name = header.toLowerCase(Locale.ROOT).replace('_', '-');
        return HEADERS.contains(name) || name.startsWith(FORWARDED);
    }

    /** A raw query without the keys that say who the client is. The rest is left as the client wrote it. */
    static String clean(String query) {
        return Arrays.stream(query.split("&", -1)).filter(pair -> !KEYS.contains(key(pair)))
                .collect(Collectors.joining("&"));
    }

    /** The address to route to: that of the upstream, with the client's path and cleaned query as they were written. */
    static URI target(String scheme, URI upstream, URI request) {
        String query = request.getRawQuery();
        String cleaned = query == null ? "" : clean(query);
        String path = request.getRawPath();
        return URI.create(scheme + "://" + upstream.getRawAuthority() + path + (cleaned.isEmpty() ? "" : "?" + cleaned));
    }

    private static String key(String pair) {
        String name = pair.split("=", 2)[0];
        try {
            return URLDecoder.decode(name, StandardCharsets.UTF_8).toLowerCase(Locale.ROOT);
        } catch (IllegalArgumentException malformed) {
            // A percent sign stays in such a name, so it is none of the keys.
            return name;
        }
    }

    private static String encode(String value) {
        // Encodes all but the unreserved characters. An encoder of whole URIs would leave +, & and = as they are.
        return UriUtils.encode(value, StandardCharsets.UTF_8);
    }

    private static String required(Map<String, Object> claims, String name) {
        String value = text(claims, name);
        if (!StringUtils.hasText(value)) {
            throw new IllegalArgumentException("the claim " + name + " is missing or empty");
        }
        return value;
    }

    private static String text(Map<String, Object> claims, String name) {
        Object value = claims.get(name);
        if (value == null || value instanceof String) {
            return (String) value;
        }
        if (value instanceof Integer || value instanceof Long) {
            return value.toString();
        }
        throw new IllegalArgumentException("the claim " + name + " is neither a text nor a whole number");
    }
}
