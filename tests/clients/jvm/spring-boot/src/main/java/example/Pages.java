// src/main/java/example/Pages.java
package example;

import static org.springframework.web.util.HtmlUtils.htmlEscape;

import org.springframework.security.core.annotation.AuthenticationPrincipal;
import org.springframework.security.oauth2.client.OAuth2AuthorizedClient;
import org.springframework.security.oauth2.client.annotation.RegisteredOAuth2AuthorizedClient;
import org.springframework.security.oauth2.core.OAuth2AuthenticationException;
import org.springframework.security.oauth2.core.oidc.user.OidcUser;
import org.springframework.security.web.WebAttributes;
import org.springframework.security.web.csrf.CsrfToken;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.RestController;
import org.springframework.web.bind.annotation.SessionAttribute;

@RestController
class Pages {
    @GetMapping("/")
    String welcome() {
        return "<a href=\"/me\">Log in</a>";
    }

    @GetMapping("/me")
    String me(@AuthenticationPrincipal OidcUser person, CsrfToken csrf) {
        return """
            <pre id="claims">%s</pre>
            <form method="post" action="/logout"><input type="hidden" name="%s" value="%s">
            <button id="leave">Log out</button></form>
            """.formatted(htmlEscape(person.getClaims().toString()),
                csrf.getParameterName(), csrf.getToken());
    }

    @GetMapping("/fresh")
    String fresh(@RegisteredOAuth2AuthorizedClient("idp") OAuth2AuthorizedClient client) {
        return "<p>The access token is of <b id=\"issued\">%s</b></p>"
            .formatted(client.getAccessToken().getIssuedAt());
    }

    @GetMapping("/refused")
    String refused(@SessionAttribute(name = WebAttributes.AUTHENTICATION_EXCEPTION)
            OAuth2AuthenticationException why) {
        return "Not logged in: %s. <a href=\"/me\">Try again</a>"
            .formatted(htmlEscape(why.getError().toString()));
    }
}
