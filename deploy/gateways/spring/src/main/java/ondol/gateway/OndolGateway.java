package ondol.gateway;

import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.boot.context.properties.ConfigurationPropertiesScan;

/** The program. */
@SpringBootApplication
@ConfigurationPropertiesScan
public class OndolGateway {
    public static void main(String[] arguments) {
        SpringApplication.run(OndolGateway.class, arguments);
    }
}
