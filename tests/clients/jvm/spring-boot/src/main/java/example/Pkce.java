// src/main/java/example/Pkce.java
package example;

import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;
import org.springframework.context.annotation.Profile;
import org.springframework.security.oauth2.client.registration.ClientRegistrationRepository;
import org.springframework.security.oauth2.client.web.DefaultOAuth2AuthorizationRequestResolver;
import org.springframework.security.oauth2.client.web.OAuth2AuthorizationRequestCustomizers;
import org.springframework.security.oauth2.client.web.OAuth2AuthorizationRequestResolver;

@Configuration
@Profile("pkce")
class Pkce {
    @Bean
    OAuth2AuthorizationRequestResolver requests(ClientRegistrationRepository clients) {
        var requests = new DefaultOAuth2AuthorizationRequestResolver(
            clients, "/oauth2/authorization");
        requests.setAuthorizationRequestCustomizer(
            OAuth2AuthorizationRequestCustomizers.withPkce());
        return requests;
    }
}
