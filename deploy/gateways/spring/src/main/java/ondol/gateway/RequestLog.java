package ondol.gateway;

import org.springframework.boot.web.embedded.netty.NettyReactiveWebServerFactory;
import org.springframework.boot.web.server.WebServerFactoryCustomizer;
import org.springframework.stereotype.Component;
import reactor.netty.http.server.logging.AccessLog;

/**
 * A line for each request, without its query: Netty's own lines have it, and a client may write a name or an address there.
 * The level {@code logging.level.reactor.netty.http.server.AccessLog} turns it off.
 */
@Component
class RequestLog implements WebServerFactoryCustomizer<NettyReactiveWebServerFactory> {
    @Override
    public void customize(NettyReactiveWebServerFactory factory) {
        factory.addServerCustomizers(server -> server.accessLog(true, request -> AccessLog.create("{} {} {} {} ms",
                request.method(), path(request.uri()), request.status(), request.duration())));
    }

    private static String path(CharSequence target) {
        return target == null ? "" : target.toString().split("\\?", 2)[0];
    }
}
