package ondol.gateway;

import static org.springframework.cloud.gateway.support.ServerWebExchangeUtils.GATEWAY_REQUEST_URL_ATTR;
import static org.springframework.cloud.gateway.support.ServerWebExchangeUtils.GATEWAY_ROUTE_ATTR;

import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.util.Set;

import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.springframework.cloud.gateway.filter.GatewayFilterChain;
import org.springframework.cloud.gateway.filter.GlobalFilter;
import org.springframework.cloud.gateway.filter.RouteToRequestUrlFilter;
import org.springframework.cloud.gateway.route.Route;
import org.springframework.core.Ordered;
import org.springframework.http.CacheControl;
import org.springframework.http.HttpHeaders;
import org.springframework.http.HttpStatus;
import org.springframework.http.MediaType;
import org.springframework.http.server.reactive.ServerHttpRequest;
import org.springframework.http.server.reactive.ServerHttpResponse;
import org.springframework.security.oauth2.jwt.BadJwtException;
import org.springframework.security.oauth2.jwt.ReactiveJwtDecoder;
import org.springframework.stereotype.Component;
import org.springframework.web.server.ResponseStatusException;
import org.springframework.web.server.ServerWebExchange;
import reactor.core.publisher.Mono;

/**
 * Replaces what a request says of its user by what its token proves, before anything is sent: to Ondol, or the 101 to a
 * WebSocket.
 */
@Component
class IdentityFilter implements GlobalFilter, Ordered {
    private static final Logger LOG = LoggerFactory.getLogger(IdentityFilter.class);

    private final ReactiveJwtDecoder decoder;

    private final TokenSettings settings;

    IdentityFilter(ReactiveJwtDecoder decoder, TokenSettings settings) {
        this.decoder = decoder;
        this.settings = settings;
    }

    /** After the filter that computes the address to route to, because this one replaces it. */
    @Override
    public int getOrder() {
        return RouteToRequestUrlFilter.ROUTE_TO_URL_FILTER_ORDER + 1;
    }

    @Override
    public Mono<Void> filter(ServerWebExchange exchange, GatewayFilterChain chain) {
        Set<String> tokens = Tokens.of(exchange.getRequest(), settings.cookie());
        if (tokens.size() > 1) {
            return refuse(exchange, "invalid_request", "Tokens that differ are refused.");
        }
        if (tokens.isEmpty()) {
            return needsToken(exchange) ? refuse(exchange, null, "A token is required.") : pass(exchange, chain, null);
        }
        // Materialized, because an error further down the chain is no refusal.
        return decoder.decode(tokens.iterator().next())
                .map(token -> Identity.of(token.getClaims(), settings.claims()))
                .materialize()
                .flatMap(verified -> verified.hasValue()
                        ? pass(exchange, chain, verified.get())
                        : refuse(exchange, verified.getThrowable()));
    }

    /** A route whose metadata says {@code token: required} is closed to clients without one. */
    private static boolean needsToken(ServerWebExchange exchange) {
        Route route = exchange.getAttribute(GATEWAY_ROUTE_ATTR);
        return route != null && "required".equals(route.getMetadata().get("token"));
    }

    private static Mono<Void> pass(ServerWebExchange exchange, GatewayFilterChain chain, Identity identity) {
        ServerHttpRequest request = exchange.getRequest();
        ServerHttpRequest changed = request.mutate().headers(headers -> change(headers, request, identity)).build();
        // The routing filters dial this address, whatever the request says. They would encode it anew if they had to
        // change its scheme.
        boolean isSocket = "websocket".equalsIgnoreCase(request.getHeaders().getUpgrade());
        URI upstream = exchange.getRequiredAttribute(GATEWAY_REQUEST_URL_ATTR);
        String scheme = isSocket ? upstream.getScheme().replaceFirst("^http", "ws") : upstream.getScheme();
        exchange.getAttributes().put(GATEWAY_REQUEST_URL_ATTR, Identity.target(scheme, upstream, request.getURI()));
        return chain.filter(exchange.mutate().request(changed).build())
                .onErrorMap(IOException.class, error -> new ResponseStatusException(HttpStatus.BAD_GATEWAY, null, error));
    }

    /** The token ends here, and so does what the client says of itself and of its way here. */
    private static void change(HttpHeaders headers, ServerHttpRequest request, Identity identity) {
        headers.keySet().removeIf(Identity::isClaimed);
        headers.remove(HttpHeaders.AUTHORIZATION);
        headers.remove(HttpHeaders.COOKIE);
        if (headers.containsKey(Tokens.PROTOCOLS)) {
            headers.set(Tokens.PROTOCOLS, String.join(", ", Tokens.protocols(headers)));
        }
        InetSocketAddress client = request.getRemoteAddress();
        if (client != null && client.getAddress() != null) {
            headers.set("X-Forwarded-For", client.getAddress().getHostAddress());
        }
        headers.set("X-Forwarded-Host", headers.getFirst(HttpHeaders.HOST));
        headers.set("X-Forwarded-Proto", request.getURI().getScheme());
        if (identity != null) {
            identity.write(headers);
        }
    }

    private static Mono<Void> refuse(ServerWebExchange exchange, Throwable error) {
        if (error instanceof BadJwtException || error instanceof IllegalArgumentException) {
            LOG.debug("refused a token: {}", error.getMessage());
            return refuse(exchange, "invalid_token", "The token is not valid.");
        }
        LOG.error("tokens cannot be verified, because the keys cannot be read", error);
        exchange.getResponse().setStatusCode(HttpStatus.SERVICE_UNAVAILABLE);
        return exchange.getResponse().setComplete();
    }

    /** Answers 401 as Ondol does (RFC 6750, section 3), with no word of the request. */
    private static Mono<Void> refuse(ServerWebExchange exchange, String error, String detail) {
        ServerHttpResponse response = exchange.getResponse();
        response.setStatusCode(HttpStatus.UNAUTHORIZED);
        response.getHeaders().setContentType(MediaType.APPLICATION_JSON);
        response.getHeaders().setCacheControl(CacheControl.noStore());
        String challenge = "Bearer realm=\"chat\"" + (error == null ? "" : ", error=\"" + error + "\"");
        response.getHeaders().set(HttpHeaders.WWW_AUTHENTICATE, challenge);
        String body = "{\"detail\":\"" + detail + "\",\"code\":\"not_authenticated\"}";
        return response.writeWith(Mono.just(response.bufferFactory().wrap(body.getBytes(StandardCharsets.UTF_8))));
    }
}
